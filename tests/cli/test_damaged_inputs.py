"""Bits that flip and ends that are missing: one line that names the file, and no wrong number.

Each case damages one file in one place, at random with a fixed seed, and calls the command line.
"""

import contextlib
import io
import json
import shutil
import traceback

import numpy as np
import pytest

pytest.importorskip("typer")
pytest.importorskip("rich")
pytest.importorskip("skops")

from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.cli import main
from sk_ednn.files import save

# On the command line, warnings are lines.
pytestmark = pytest.mark.filterwarnings("default")

FIELDS = np.random.default_rng(0).normal(size=(6, 4, 4))
PREDICT = ("predict", "model.ednn", "{name}", "--json", "--quiet")
FIT = ("fit", "X.npy", "{name}", "--model", "quadratic", "--json", "--quiet", "--force")
SETTINGS = "# settings\nmodel: model.ednn\nfields: X.npy\njobs: 1\ncontributions: false\n"


def write_hdf5(path, **how):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w", libver=how.pop("libver", None)) as file:
        file.create_dataset("X", data=FIELDS, **how)
        file.create_dataset("run/1/y", data=FIELDS[:, 0, 0])


def write_zarr(path, **how):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(path, mode="w", zarr_format=how.pop("zarr_format", 3))
    group.create_array("X", data=FIELDS, chunks=(3, 4, 4), **how)


def write_checked_zarr(path):
    codecs = pytest.importorskip("zarr").codecs
    write_zarr(path, compressors=[codecs.GzipCodec(), codecs.Crc32cCodec()])


def write_objects(path):
    np.save(path, np.array([FIELDS, None], dtype=object), allow_pickle=True)


def write_table(path):
    rows = (f"#{k},{total!r}," for k, total in enumerate(FIELDS.sum(axis=(1, 2)).tolist()))
    path.write_text("\n".join(["id,energy,", *rows]), encoding="utf-8")


# What is written, how it is read, and which parts of it have a checksum.
INPUTS = {
    "X.npz": (lambda path: np.savez(path, X=FIELDS), PREDICT, ""),
    "packed.npz": (lambda path: np.savez_compressed(path, X=FIELDS), PREDICT, ""),
    "fields.npy": (lambda path: np.save(path, FIELDS), PREDICT, None),
    "objects.npy": (write_objects, PREDICT, ""),
    "old.h5": (write_hdf5, PREDICT, None),
    "new.h5": (
        lambda path: write_hdf5(path, libver="latest", chunks=(3, 4, 4), fletcher32=True),
        PREDICT,
        "",
    ),
    "plain.zarr": (write_zarr, PREDICT, None),
    "packed.h5": (
        lambda path: write_hdf5(path, chunks=(2, 4, 4), compression="gzip", shuffle=True),
        PREDICT,
        None,
    ),
    "checked.zarr": (write_checked_zarr, PREDICT, "X/c/"),
    "v2.zarr": (lambda path: write_zarr(path, zarr_format=2), PREDICT, None),
    "totals.csv": (write_table, FIT, None),
    "settings.yaml": (
        lambda path: path.write_text(SETTINGS, encoding="utf-8"),
        ("predict", "--config", "{name}", "--json", "--quiet"),
        None,
    ),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Return the folder of the undamaged files."""
    folder = tmp_path_factory.mktemp("inputs")
    model = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(FIELDS, FIELDS.sum(axis=(1, 2)))
    save(model, folder / "model.ednn")
    np.save(folder / "X.npy", FIELDS)
    return folder


def called(words):
    """Return the exit code, and what was printed to both streams; a traceback is an exit of 70."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(list(words))
        except BaseException:
            code = 70
            traceback.print_exc(file=err)
    return code, out.getvalue(), err.getvalue()


def damage(content, rng):
    """Return content with one bit flipped, or cut off."""
    if rng.random() < 0.25:
        return content[: rng.integers(len(content))]
    content = bytearray(content)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(content)


def check(folder, name, n_cases, seed, monkeypatch):
    """Damage an input in many places, and look at each answer."""
    write, words, checked = INPUTS[name]
    monkeypatch.chdir(folder)
    write(folder / name)
    words = [word.format(name=name) for word in words]
    whole = called(words)
    assert whole[0] == (1 if name == "objects.npy" else 0), whole
    totals = json.loads(whole[1]).get("y") if whole[1] else "what nothing is equal to"
    path = folder / name
    parts = [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    rng = np.random.default_rng(seed)
    for _ in range(n_cases):
        part = parts[rng.integers(len(parts))]
        content = part.read_bytes()
        damaged = damage(content, rng)
        part.write_bytes(damaged)
        code, out, err = called(words)
        where = f"{part} at {np.flatnonzero(_differing(content, damaged))[:1]}, exit {code}: {err}"
        part.write_bytes(content)
        lines = [line for line in err.splitlines() if line.startswith("error: ")]
        if code == 0:
            assert not lines, where
            within = part.relative_to(path).as_posix() if part != path else ""
            if checked is not None and within.startswith(checked):
                assert json.loads(out)["y"] == totals, where
        elif code == 1:
            assert len(lines) == 1 and err.rstrip().splitlines()[-1] == lines[0], where
            # Without a checksum, a number of 1e300 is read, and the model may say no to it; and
            # settings may name another file, which is not there.
            named = name in lines[0] or "--config" in words
            assert named or (checked is None and "The fields have values" in err), where
        else:
            assert code == 2 and "Usage" in err, where
    if path.is_dir():
        shutil.rmtree(path)


def _differing(before, after):
    n = max(len(before), len(after))
    a, b = (np.frombuffer(each.ljust(n, b"\0"), dtype=np.uint8) for each in (before, after))
    return a != b


@pytest.mark.parametrize("name", INPUTS)
def test_damaged_inputs_are_refused_in_one_line(name, inputs, monkeypatch):
    check(inputs, name, 6, 0, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_a_thousand_damages(name, inputs, monkeypatch):
    check(inputs, name, 90, 1, monkeypatch)
