"""Thousands of damaged and edited files: each is refused, or still gives a working model."""

import copy
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("skops")
pytest.importorskip("skorch")

from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, load
from tests.files._craft import at, crafted, parts_of
from tests.files._damage import golden_module

FOLDER = Path(__file__).parent
FILES = {path.stem.partition(", ")[2]: path for path in sorted(FOLDER.glob("golden/*.ednn"))}
VALUES = (None, True, 0, -1, 3, 10**9, 1e300, 0.5, "", "text", [], [0], {}, {"$": "tuple"})


def flipped(rng, content):
    content = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 4)):
        content[place] ^= 1 << rng.integers(8)
    return bytes(content)


def cut(rng, content):
    return content[: rng.integers(len(content))]


def edited(rng, node):
    """Return a JSON document with one value that is another, is missing, or is there twice."""
    node = copy.deepcopy(node)
    every = [place for place in every_place(node) if place]
    *path, key = every[rng.integers(len(every))]
    inner = at(node, path)
    action = rng.integers(4)
    if action == 0:
        del inner[key]
    elif action == 1 and isinstance(inner, list):
        inner.insert(key, copy.deepcopy(inner[key]))
    elif action == 2 and len(every) > 1:
        inner[key] = copy.deepcopy(at(node, every[rng.integers(len(every))]))
    else:
        inner[key] = VALUES[rng.integers(len(VALUES))]
    return node


def every_place(node, path=()):
    yield path
    if isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from every_place(value, (*path, key))


def with_edited_config(rng, parts):
    config = json.loads(parts["config.json"])
    # The parts of the model only, not the description around them.
    changed = config | {"model": edited(rng, {"": config["model"]}).get("")}
    return parts | {"config.json": json.dumps(changed).encode()}


def with_edited_header(rng, parts):
    content = parts["weights.safetensors"]
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    text = json.dumps(edited(rng, header)).encode()
    content = len(text).to_bytes(8, "little") + text + content[8 + length :]
    return parts | {"weights.safetensors": content}


def with_flipped_numbers(rng, parts):
    name = str(rng.choice(sorted(set(parts) - {"config.json"})))
    return parts | {name: flipped(rng, parts[name])}


def with_swapped_parts(rng, parts, others):
    other = others[str(rng.choice(sorted(others)))]
    name = str(rng.choice(sorted(parts)))
    return parts | {name: other.get(name, b"")}


def write_damaged(folder, n_each, rng):
    """Write so many files of each kind of damage, of each golden file."""
    every = {name: parts_of(path) for name, path in FILES.items()}
    number = 0

    def goal(name):
        nonlocal number
        number += 1
        return folder / f"{number:05},{name},.ednn"

    for name, path in FILES.items():
        content, parts = path.read_bytes(), every[name]
        for damage in (flipped, cut):
            for _ in range(n_each):
                goal(name).write_bytes(damage(rng, content))
        for edit in (with_edited_config, with_edited_header, with_flipped_numbers):
            for _ in range(n_each * (4 if edit is with_edited_config else 1)):
                _container.write(goal(name), edit(rng, parts))
        for _ in range(n_each):
            _container.write(goal(name), with_swapped_parts(rng, parts, every))
        if "estimators.skops" in parts:
            possible = list(crafted(parts))
            for k in rng.integers(len(possible), size=2 * n_each):
                _container.write(goal(name), possible[k][1]())
    return number


def outcomes(folder):
    run = subprocess.run(
        [sys.executable, "-m", "tests.files._damage", str(folder)],
        cwd=FOLDER.parent.parent, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    assert run.returncode == 0, (lines[-1:], run.stderr[-2000:])
    return lines


def check(folder, n_each, seed):
    n_files = write_damaged(folder, n_each, np.random.default_rng(seed))
    assert check_outcomes(folder, n_files)["refused"] > n_files // 2
    return n_files


def check_outcomes(folder, n_files):
    lines = outcomes(folder)
    assert len(lines) == n_files
    wrong = [line for line in lines if line[1] not in ("refused", "works")]
    assert wrong == []
    assert [line for line in lines if int(line[2]) > 0] == []
    counts = Counter(what for _, what, _ in lines)
    assert counts["refused"] > 0 and counts["works"] > 0
    return counts


linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@linux
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_damaged_files_are_refused_or_work(tmp_path):
    assert check(tmp_path, 20, 0) > 3000


@linux
@pytest.mark.timeout(60)
def test_a_few_damaged_files_are_refused_or_work(tmp_path):
    check(tmp_path, 1, 1)


def write_long(folder, length, every):
    """Write each golden file with each attribute of its estimators in turn set to a length.

    Return how many were written: of all of them, each of this number.
    """
    number = n_made = 0
    for name, path in FILES.items():
        parts, seen = parts_of(path), set()
        if "estimators.skops" in parts:
            for what, make in crafted(parts):
                # Of all trees of a forest, the first.
                if what.endswith(f"={length!r}") and what not in seen:
                    seen.add(what)
                    n_made += 1
                    if n_made % every == 0:
                        _container.write(folder / f"{number:05},{name},.ednn", make())
                        number += 1
    return number


@linux
@pytest.mark.timeout(120)
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_no_attribute_makes_a_file_take_memory(every, tmp_path):
    n_files = write_long(tmp_path, 10**6, every)
    assert n_files > 100 / every
    check_outcomes(tmp_path, n_files)


@pytest.mark.parametrize("value", [1e300, 2, 0, True, None])
@pytest.mark.parametrize("name", FILES)
def test_tile_models_have_the_outputs_of_their_regressor(name, value, tmp_path):
    """Also those with a user's code, which is not run for a trial."""
    parts, made = parts_of(FILES[name]), golden_module()
    config = json.loads(parts["config.json"])
    places = [p for p in every_place(config) if p[-2:] == ("vars", "n_outputs")]
    for *path, key in places:
        changed = copy.deepcopy(config)
        at(changed, path)[key] = value
        text = json.dumps(changed).encode()
        _container.write(tmp_path / "changed.ednn", parts | {"config.json": text})
        with pytest.raises(ModelFileError, match=r"changed\.ednn"):
            load(tmp_path / "changed.ednn", modules=[made.Golden])
