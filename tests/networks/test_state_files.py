"""Files of tensors: damages are refused by name, and none changes a number in silence."""

import zipfile

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from sk_ednn.exceptions import TileModelError
from sk_ednn.networks._state_files import read_state, write_state

STATE = {
    "version": 1,
    "digest": "abc",
    "module": {"weight": torch.linspace(0, 1, 300, dtype=torch.float64).reshape(20, 15)},
    "history": [{"train_loss": 0.5, "epoch": 1}],
    "random": torch.arange(50, dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "training.ckpt"
    write_state(path, STATE)
    return path


def same(read):
    for value, expected in zip(read, STATE.values(), strict=True):
        if isinstance(expected, torch.Tensor):
            assert torch.equal(value, expected)
        elif isinstance(expected, dict):
            assert torch.equal(value["weight"], expected["weight"])
        else:
            assert value == expected


def test_states_are_read_as_written(path):
    same(read_state(path, list(STATE), "a training"))
    assert read_state(path, ["digest"], "a training") == ["abc"]


def test_damages_are_refused_or_change_nothing(path):
    whole, rng, n_refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        if rng.random() < 0.2:
            del damaged[rng.integers(len(whole)) :]
        else:
            damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            read = read_state(path, list(STATE), "a training")
        except TileModelError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            n_refused += 1
        else:
            same(read)  # in bytes between the members
    assert n_refused > 150


def test_each_bit_of_a_tensor_counts(path):
    whole = path.read_bytes()
    weight = STATE["module"]["weight"].numpy().tobytes()
    start = whole.index(weight)
    for k in range(start, start + len(weight), 97):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(TileModelError, match="checksum"):
            read_state(path, list(STATE), "a training")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", ""),
        (b"nonsense", "not a zip file"),
        (b"PK\x03\x04", "not a zip file"),
        ("archive", ""),
        ("state of others", "it has no 'digest'"),
        ("list", "it has no 'version'"),
        ("objects", "it contains other objects than tensors"),
    ],
)
def test_other_files_are_refused_by_name(content, why, path):
    if content == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "b")
    elif content == "state of others":
        write_state(path, {"version": 1})
    elif content == "list":
        write_state(path, [1, 2])
    elif content == "objects":
        write_state(path, STATE | {"more": zipfile.ZipInfo("a.txt")})
    else:
        path.write_bytes(content)
    words = rf"training\.ckpt is not a checkpoint of a training, or is damaged \(.*{why}"
    with pytest.raises(TileModelError, match=words):
        read_state(path, list(STATE), "a training")


def test_files_that_cannot_be_opened_are_not_called_damaged(path):
    with pytest.raises(FileNotFoundError):
        read_state(path.with_name("none.ckpt"), list(STATE), "a training")
    with pytest.raises((IsADirectoryError, PermissionError)):
        read_state(path.parent, list(STATE), "a training")


def test_a_full_disk_leaves_the_old_file(path):
    resource = pytest.importorskip("resource")  # Windows has none
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError):
            write_state(path, STATE | {"more": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    same(read_state(path, list(STATE), "a training"))
