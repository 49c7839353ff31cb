"""Memory and messages of reading model files."""

import io
import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.svm import SVR

pytest.importorskip("skops")

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.evaluation import DaskBlocks, Direct, Unique
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _arrays, _container, describe, load, save
from sk_ednn.files._runtime_parameters import is_runtime_parameter
from sk_ednn.solvers import BoostingSolver
from tests.files._craft import at, listed, parts_of, places, plain, zipped

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.sin(X).sum(axis=1)
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "small.ednn"
    save(EDNNRegressor(Ridge(), GridTiling(1, 0)).fit(X, Y), path)
    return path


# --- memory -----------------------------------------------------------------------------------


def config(model, **more):
    return json.dumps({"schema": 1, "model": model} | more, ensure_ascii=False).encode()


def arrays(**named):
    out = io.BytesIO()
    _arrays.writer(named)(out)
    return out.getvalue()


def layer(name, **settings):
    pairs = [[key, value] for key, value in settings.items()]
    built = {"$": "layers", "class": name, "with": {"$": "dict", "pairs": pairs}}
    return {"$": "module", "built": built, "weights": {}, "frozen": []}


def array_node(name, number):
    return {
        "__class__": "ndarray", "__module__": "numpy", "__loader__": "NdArrayNode",
        "type": "numpy", "file": name, "__id__": number,
    }  # fmt: skip


def mapping(**nodes):
    text = {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}
    return {
        "__class__": "dict", "__module__": "builtins", "__loader__": "DictNode",
        "content": nodes, "key_types": listed(text) | {"content": [text] * len(nodes)},
    }  # fmt: skip


def estimators(*nodes, **members):
    schema = listed(None) | {"content": list(nodes), "protocol": 2}
    files = {"schema.json": json.dumps(schema).encode()}
    for name, array in members.items():
        out = io.BytesIO()
        np.save(out, array)
        files[f"{name}.npy"] = out.getvalue()
    return {"estimators.skops": zipped(files)}


def neighbours():
    return {
        "__class__": "KNeighborsRegressor", "__module__": "sklearn.neighbors._regression",
        "__loader__": "ObjectNode",
        "content": mapping(
            _fit_X=array_node("a.npy", 1), _fit_method=plain("kd_tree"), _tree=plain(None),
            leaf_size=plain(1), n_features_in_=plain(2), n_samples_fit_=plain(400_000),
            effective_metric_=plain("euclidean"), effective_metric_params_=mapping(),
        ),
    }  # fmt: skip


def grid(*nodes, shape):
    sides = listed(None) | {
        "__class__": "tuple", "__loader__": "TupleNode", "content": [plain(n) for n in shape]
    }  # fmt: skip
    node = array_node("", 0) | {"type": "json", "content": list(nodes), "shape": sides}
    del node["__id__"], node["file"]
    return node


def tree(n_outputs):
    arguments = listed(None) | {
        "__class__": "tuple", "__loader__": "TupleNode",
        "content": [plain(3), array_node("a.npy", 1), plain(n_outputs)],
    }  # fmt: skip
    return {
        "__class__": "Tree", "__module__": "sklearn.tree._tree", "__loader__": "TreeNode",
        "__reduce__": {"args": arguments}, "content": mapping(),
    }  # fmt: skip


EMPTY = {"weights.safetensors": arrays()}
RELU = {"$": "layers", "class": "ReLU", "with": {"$": "dict", "pairs": []}}
CSR = {
    "$": "csr", "matrix": True, "shape": [1, 5],
    "parts": [{"$": "array", "name": name} for name in ("data", "columns", "rows")],
}  # fmt: skip
# Each of them took, or would take, several hundred MiB or more.
HOSTILE = {
    "one long string": lambda: {
        "config.json": config(
            {"$": "strings", "shape": [1], "values": ["x" * 20_000] + [""] * 20_000}
        )
    },
    "an emoji in a long string": lambda: {"config.json": config("😀" + "x" * 30_000_000)},
    "an emoji that is escaped": lambda: {
        "config.json": b'{"schema":1,"model":"\\ud83d\\ude00' + b"x" * 30_000_000 + b'"}'
    },
    "a device": lambda: {
        "config.json": config(
            layer("Linear", in_features=20_000, out_features=20_000, device="cpu")
        )
    },
    "a device of convolutions": lambda: {
        "config.json": config(
            layer("Conv2d", in_channels=2000, out_channels=2000, kernel_size=9, device="cpu")
        )
    },
    "many layers": lambda: {
        "config.json": config({
            "$": "module", "weights": {}, "frozen": [],
            "built": {"$": "layers", "class": "Sequential",
                      "layers": [[str(k), RELU] for k in range(27_000)]},
        })
    },
    "many lists": lambda: {"config.json": b'{"schema":1,"model":[' + b"[]," * 3_000_000 + b"1]}"},
    "long names of many": lambda: {
        "config.json": config(
            {"$": "object", "class": "EDNNRegressor", "vars": {"k" * 100_000: [[{}]] * 20_000}}
        )
    },
    "a matrix many times": lambda: {
        "config.json": config([CSR] * 100),
        "weights.safetensors": arrays(
            data=np.zeros(10**6), columns=np.zeros(10**6, int), rows=np.array([0, 10**6])
        ),
    },
    "an array many times": lambda: {
        "config.json": config(None),
        **estimators(*(array_node("a.npy", k) for k in range(1, 200)), a=np.zeros(10**6)),
    },
    "an array as objects": lambda: {
        "config.json": config(None),
        **estimators(
            grid(*(array_node("a.npy", k) for k in range(1, 200)), shape=(199, 10**6)),
            a=np.zeros(10**6),
        ),
    },
    "a text within a text": lambda: {
        "config.json": config(None), **estimators(plain([[]] * 10**6)),
    },
    "outputs of a tree": lambda: {
        "config.json": config(None), **estimators(tree(10**9), a=np.ones(10**6, int)),
    },
    "many search trees": lambda: {
        "config.json": config(None),
        **estimators(*[neighbours()] * 40, a=np.random.default_rng(0).normal(size=(400_000, 2))),
    },
}  # fmt: skip

MEASURE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from sk_ednn.files import load
from tests.files._damage import beyond, describe
for name in ("linear", "convolutions", "forest", "neighbours"):  # imports do not count
    load(f"tests/files/golden/schema 1, {name}.ednn")
for path in sorted(Path(sys.argv[1]).glob("*.ednn")):
    for read in (load, describe):
        result, more = beyond(path, read)
        print(path.stem, read.__name__, type(result).__name__, more, sep="\\t", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.slow
def test_reading_takes_twice_the_file_and_64_mib_at_most(tmp_path):
    pytest.importorskip("skorch")
    for name, make in HOSTILE.items():
        _container.write(tmp_path / f"{name}.ednn", EMPTY | make())
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    assert len(lines) == 2 * len(HOSTILE)
    assert [line for line in lines if int(line[3]) > 0] == []
    assert {line[2] for line in lines if line[1] == "load"} == {"ModelFileError"}


@pytest.mark.parametrize("name", ["one long string", "a device", "a matrix many times"])
def test_what_would_be_large_is_refused_before_it_is_made(name, tmp_path):
    pytest.importorskip("torch")
    _container.write(tmp_path / "hostile.ednn", EMPTY | HOSTILE[name]())
    with pytest.raises(ModelFileError, match=r"hostile\.ednn cannot be read: .*(MiB|parameters)"):
        load(tmp_path / "hostile.ednn")


def test_more_memory_may_be_allowed(tmp_path):
    model = EDNNRegressor(Ridge()).fit(X, Y)
    save(model, tmp_path / "talks.ednn", about={"said": [[]] * 300_000})
    for read in (load, describe):
        with pytest.raises(ModelFileError, match="pass a larger max_bytes"):
            read(tmp_path / "talks.ednn")
    np.testing.assert_array_equal(
        load(tmp_path / "talks.ednn", max_bytes=1 << 30).predict(X), model.predict(X)
    )
    assert len(describe(tmp_path / "talks.ednn", max_bytes=1 << 30)["about"]["said"]) == 300_000


# --- running ----------------------------------------------------------------------------------


def said_of_running(node):
    """Yield the settings of running that a description has."""
    if isinstance(node, list):
        for each in node:
            yield from said_of_running(each)
    elif isinstance(node, dict):
        if node.get("$") in ("object", "sklearn", "yours"):
            yield from filter(is_runtime_parameter, node["vars"])
        if node.get("$") == "net":
            yield from filter(is_runtime_parameter, node["with"])
        for each in node.values():
            yield from said_of_running(each)


def test_settings_of_running_are_not_stored(tmp_path):
    model = EDNNRegressor(
        SVR(cache_size=7, verbose=True),
        solver=BoostingSolver(n_stages=2, verbose=0, max_bytes=1e9),
        evaluation=DaskBlocks(Direct(n_jobs=2, max_tiles=7), journal=tmp_path / "j", verbose=0),
        n_jobs=2,
        memory=str(tmp_path / "cache"),
    )
    path = tmp_path / "a.ednn"
    save(model.fit(X, Y), path)
    description = json.loads(parts_of(path)["config.json"])
    assert list(said_of_running(description["model"])) == []
    loaded = load(path)
    for key, value in (
        EDNNRegressor(SVR(), solver=BoostingSolver(n_stages=2), evaluation=DaskBlocks(Direct()))
        .get_params()
        .items()
    ):
        if is_runtime_parameter(key.rpartition("__")[2]):
            assert loaded.get_params()[key] == value, key
    members = loaded.tile_model_.estimator.estimators_
    assert [member.cache_size for member in members] == [SVR().cache_size] * len(members)


@pytest.mark.parametrize("name", ["linear", "kernel", "forest", "perceptron", "committee"])
def test_settings_of_running_are_not_taken_from_a_file(name, tmp_path):
    """Neither for our own objects nor for scikit-learn's, whatever the file contains."""
    parts = parts_of(GOLDEN / f"schema 1, {name}.ednn")
    description = json.loads(parts["config.json"])
    for place in list(places(description, lambda node: node.get("$") == "object")):
        result = at(description, place)["vars"]
        result |= dict.fromkeys(("n_jobs", "verbose", "max_bytes", "memory", "journal"), 77)
    parts["config.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(io.BytesIO(parts["estimators.skops"])) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    schema = json.loads(members["schema.json"])
    for place in list(places(schema, lambda node: node.get("__loader__") == "ObjectNode")):
        content = at(schema, place)["content"].get("content")
        for key in ("n_jobs", "verbose", "memory", "cache_size"):
            if isinstance(content, dict) and key in content:
                content[key] = plain(77)
    members["schema.json"] = json.dumps(schema).encode()
    _container.write(tmp_path / "a.ednn", parts | {"estimators.skops": zipped(members)})
    model = load(tmp_path / "a.ednn")
    assert 77 not in list(values_of(model))


def values_of(value, depth=12):
    yield from (value,) if isinstance(value, int) else ()
    inner = list(vars(value).values()) if hasattr(value, "__dict__") else ()
    inner = value.values() if isinstance(value, dict) else inner
    inner = value if isinstance(value, (list, tuple)) else inner
    for each in inner if depth else ():
        yield from values_of(each, depth - 1)


def test_settings_of_nets_are_not_taken(tmp_path):
    skorch = pytest.importorskip("skorch")
    from torch import nn

    net = skorch.NeuralNetRegressor(
        nn.Sequential(nn.Flatten(), nn.Linear(3, 1)), max_epochs=1, verbose=0, lr=0.125,
        iterator_train__num_workers=0, iterator_train__shuffle=True,
    )  # fmt: skip
    save(EDNNRegressor(net).fit(X, Y), tmp_path / "a.ednn")
    parts = parts_of(tmp_path / "a.ednn")
    description = json.loads(parts["config.json"])
    for place in list(places(description, lambda node: node.get("$") == "net")):
        said = at(description, place)["with"]
        assert not any(map(is_runtime_parameter, said)) and "iterator_train__shuffle" in said
        said |= {
            "device": "cuda:7",
            "compile": True,
            "verbose": 77,
            "iterator_train__num_workers": 9,
        }
    parts["config.json"] = json.dumps(description).encode()
    _container.write(tmp_path / "a.ednn", parts)
    loaded = load(tmp_path / "a.ednn").tile_model_.estimator
    assert loaded.device == "cpu" and not loaded.compile and loaded.verbose != 77
    assert loaded.get_params()["lr"] == 0.125
    assert "iterator_train__num_workers" not in vars(loaded)


def test_an_evaluation_keeps_its_kind(tmp_path):
    model = EDNNRegressor(Ridge(), evaluation=Unique(table_size=0)).fit(X, Y)
    save(model, tmp_path / "a.ednn")
    assert type(load(tmp_path / "a.ednn").evaluation_) is Unique


# --- errors -----------------------------------------------------------------------------------


def made(what, folder):
    path = folder / "thing.ednn"
    if what == "folder":
        path.mkdir()
    elif what == "named pipe":
        os.mkfifo(path)
    elif what == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif what == "link":
        path.symlink_to(folder / "nowhere")
    elif what == "link to itself":
        path.symlink_to(path)
    return Path("/dev/null") if what == "device" else path


WORDS = {
    "folder": "is a folder", "named pipe": "is a named pipe", "socket": "is a socket",
    "device": "is a device", "link": "is a link to .*nowhere, which does not exist",
    "link to itself": "symbolic links",
}  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", WORDS)
@pytest.mark.parametrize("read", [load, describe])
def test_what_is_no_file_is_named(what, read, tmp_path):
    path = made(what, tmp_path)
    with pytest.raises(ModelFileError, match=WORDS[what]) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} cannot be read: ")


RAISED = [
    KeyError("name"), RecursionError(), MemoryError("2 TB"),
    UnicodeDecodeError("utf8", b"", 0, 1, ""),
    OverflowError("int too large"), NotImplementedError(), zipfile.BadZipFile("not a zip"),
    EOFError(), OSError(5, "Input/output error"), RuntimeError("torch says so"), AssertionError(),
    ZeroDivisionError(), IndexError("list index"), AttributeError("no attribute"), StopIteration(),
]  # fmt: skip


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    "place",
    [
        "zipfile.ZipFile", "json.loads", "numpy.empty", "sk_ednn.EDNNRegressor.predict",
    ],
)  # fmt: skip
def test_whatever_is_raised_names_the_file(error, place, path, monkeypatch):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr(place, broken)
    reads = [load, describe] if place in ("zipfile.ZipFile", "json.loads") else [load]
    for read in reads:
        with pytest.raises(ModelFileError, match=r"small\.ednn cannot be read: ") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_warnings_that_are_errors_stay_what_they_are(tmp_path):
    parts = parts_of(GOLDEN / "schema 1, linear.ednn")
    content = parts["estimators.skops"].replace(b'\\"1.9.1\\"', b'\\"0.9.1\\"')
    with zipfile.ZipFile(io.BytesIO(parts["estimators.skops"])) as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    assert content != parts["estimators.skops"]
    members["schema.json"] = members["schema.json"].replace(b'\\"1.9.1\\"', b'\\"0.9.1\\"')
    _container.write(tmp_path / "old.ednn", parts | {"estimators.skops": zipped(members)})
    with pytest.warns(UserWarning, match=r"from version 0\.9\.1"):
        load(tmp_path / "old.ednn")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("part", ["scale", "baseline", "mean", "input scale"])
def test_units_that_are_no_numbers_are_the_reason(part, value, tmp_path):
    from dataclasses import replace

    X = np.random.default_rng(0).normal(size=(20, 4, 4))
    made, solver = Ridge(), None
    if part in ("mean", "input scale"):
        nn = pytest.importorskip("torch").nn
        pytest.importorskip("skorch")
        from sk_ednn.solvers import GradientSolver

        made, solver = nn.Sequential(nn.Flatten(), nn.Linear(9, 1)), GradientSolver(max_epochs=1)
    model = EDNNRegressor(made, GridTiling(1, 1), solver=solver).fit(X, X.sum(axis=(1, 2)))
    tile_model, bad = model.tile_model_, np.array([value])
    changed = {
        "scale": lambda: {"scale": bad},
        "baseline": lambda: {
            "baseline": replace(tile_model.baseline, coefficients=np.full_like(
                tile_model.baseline.coefficients, value))
        },
        "mean": lambda: {"standardization": replace(tile_model.standardization, mean=bad)},
        "input scale": lambda: {"standardization": replace(tile_model.standardization, scale=bad)},
    }[part]()  # fmt: skip
    model.tile_model_ = replace(tile_model, **changed)
    save(model, tmp_path / "a.ednn")
    words = {
        "scale": "the scale is",
        "baseline": "the coefficients of its baseline is",
        "mean": "the mean of its inputs is",
        "input scale": "the scale of its inputs is",
    }
    with pytest.raises(ModelFileError, match=rf"{words[part]} \[({value})"):
        load(tmp_path / "a.ednn")
