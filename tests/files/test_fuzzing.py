"""Any input gives either a result or an error that names the fault."""

import copy
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Ridge

pytest.importorskip("skops")

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import EDNNError, ModelFileError
from sk_ednn.files import _container, describe, load

GOLDEN = Path(__file__).parent / "golden"
FEW = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MANY = settings(FEW, max_examples=400)
# Errors that a call may raise: ours, and Python's for what is neither an array nor a number.
CLEAR = (EDNNError, ValueError, TypeError)


# --- load -------------------------------------------------------------------------------------


def parts_of(name):
    with zipfile.ZipFile(GOLDEN / f"schema 1, {name}.ednn") as archive:
        return {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}


GIVEN = {name: parts_of(name) for name in ("linear", "terms")}

SMALL = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.integers(), st.floats(), st.text(max_size=5)
)
NODES = st.recursive(
    SMALL,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["$", "name", "values", "vars", "class"]), inner),
        st.fixed_dictionaries(
            {"$": st.sampled_from(["array", "tuple", "dict", "object", "slice", "estimator", "csr",
                                   "strings", "objects", "scalar", "path", "float", "yours"])},
            optional={
                "name": st.text(max_size=3), "class": st.sampled_from(["GridTiling", "Ridge"]),
                "vars": st.dictionaries(st.text(max_size=3), inner, max_size=2), "values": inner,
                "number": st.integers(-2, 3), "value": inner, "pairs": inner, "shape": inner,
                "parts": inner, "matrix": inner,
            },
        ),
    ),
    max_leaves=8,
)  # fmt: skip


def places(node, path=()):
    """Yield the way to each value of a JSON document."""
    yield path
    if not isinstance(node, (dict, list)):
        return
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield from places(value, (*path, key))


def replaced(document, path, value):
    if not path:
        return value
    document = copy.deepcopy(document)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


def check_config(data, folder):
    """Change one value of a model's description: it is refused, or the model can predict."""
    parts = GIVEN[data.draw(st.sampled_from(sorted(GIVEN)))]
    config = json.loads(parts["config.json"])
    path = data.draw(st.sampled_from(list(places(config))))
    value = data.draw(NODES)
    try:
        text = json.dumps(replaced(config, path, value), allow_nan=False).encode()
    except ValueError:
        return
    file = folder / "fuzzed.ednn"
    _container.write(file, parts | {"config.json": text})
    try:
        model = load(file)
    except (ModelFileError, ImportError):
        return
    assert hasattr(model, "predict")
    try:
        describe(file)
    except ModelFileError:
        pass


@FEW
@given(data=st.data())
def test_a_changed_description_is_refused_or_makes_a_model(data, tmp_path):
    check_config(data, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@MANY
@given(data=st.data())
def test_many_changed_descriptions(data, tmp_path):
    check_config(data, tmp_path)


def check_bytes(data, folder):
    """Change some bytes of a part, and make all hashes right."""
    parts = GIVEN[data.draw(st.sampled_from(sorted(GIVEN)))]
    name = data.draw(st.sampled_from(sorted(parts)))
    content = bytearray(parts[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    stop = data.draw(st.sampled_from([len(content)] * 3 + [len(content) // 2]))
    _container.write(folder / "fuzzed.ednn", parts | {name: bytes(content[:stop])})
    try:
        load(folder / "fuzzed.ednn")
    except (ModelFileError, ImportError):
        pass


@pytest.mark.filterwarnings("ignore")  # of a version of scikit-learn that there never was
@FEW
@given(data=st.data())
def test_changed_parts_with_right_hashes(data, tmp_path):
    check_bytes(data, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@MANY
@given(data=st.data())
def test_many_changed_parts_with_right_hashes(data, tmp_path):
    check_bytes(data, tmp_path)


@FEW
@given(content=st.binary(max_size=300), like_a_zip=st.booleans())
def test_any_bytes_are_no_model(content, like_a_zip, tmp_path):
    path = tmp_path / "any.ednn"
    path.write_bytes((b"PK\x03\x04" if like_a_zip else b"") + content)
    for read in (load, describe):
        with pytest.raises(ModelFileError):
            read(path)


# --- fit and predict --------------------------------------------------------------------------

SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
NUMBERS = st.one_of(
    hnp.arrays(np.float64, SHAPES, elements=st.floats(width=64)),
    hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)),
    hnp.arrays(np.int8, SHAPES),
    hnp.arrays(np.bool_, SHAPES),
    hnp.arrays(np.complex64, SHAPES),
    hnp.arrays(np.dtype("U2"), SHAPES),
    hnp.arrays(object, hnp.array_shapes(max_dims=2, max_side=3), elements=SMALL),
)
FIELDS = st.one_of(NUMBERS, st.lists(NUMBERS, max_size=3), SMALL)
SIZES = st.one_of(st.none(), st.integers(-1, 4), st.tuples(st.integers(0, 3), st.integers(0, 3)))
TILINGS = st.builds(
    GridTiling,
    SIZES,
    SIZES,
    boundary=st.sampled_from(["periodic", "zero", "reflect", "nearest", "round"]),
    channel_axis=st.one_of(st.none(), st.integers(-2, 2)),
    remainder=st.sampled_from(["error", "pad"]),
)


def check_fit(X, y, tiling):
    model = EDNNRegressor(Ridge(), tiling)
    with np.errstate(all="ignore"):
        try:
            model.fit(X, y)
        except CLEAR as error:
            assert str(error).strip(), "an error without words"
            assert "tile_model_" not in vars(model), "a call that failed has left something"
            return
        try:
            assert np.isfinite(model.predict(X)).all()
        except CLEAR as error:
            assert str(error).strip()


@pytest.mark.filterwarnings("ignore")
@FEW
@given(FIELDS, NUMBERS, TILINGS)
@example(np.array([[np.nan]]), np.zeros(1), GridTiling(1, 0))
def test_any_fields_are_fitted_or_refused(X, y, tiling):
    check_fit(X, y, tiling)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@MANY
@given(FIELDS, NUMBERS, TILINGS)
def test_many_fields_are_fitted_or_refused(X, y, tiling):
    check_fit(X, y, tiling)


FITTED = EDNNRegressor(Ridge(), GridTiling(2, 1)).fit(np.eye(4)[None], [1.0])


@pytest.mark.filterwarnings("ignore")
@FEW
@given(FIELDS)
def test_any_fields_are_predicted_or_refused(X):
    try:
        totals = FITTED.predict(X)
    except CLEAR as error:
        assert str(error).strip()
    else:
        assert np.isfinite(totals).all() and totals.ndim == 1


# --- the command line -------------------------------------------------------------------------

WORDS = st.sampled_from([
    "fit", "predict", "inspect", "tile", "info", "X.npz", "y.npy", "m.ednn", "nowhere.npz",
    "X.npz::X", "X.npz::z", "--focus", "--context", "--boundary", "--model", "--channel-axis",
    "--baseline",
    "--test-fraction", "--seed", "--unit", "-o", "out.ednn", "out.npy", "out.npz", "out", "--json",
    "-q", "--contributions", "--sample", "1", "2", "0", "-1", "2,1", "none", "zero", "linear",
    "quadratic", "size", "0.5", "1e9", "", "--", "nan", "--help",
])  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    X = np.random.default_rng(0).normal(size=(12, 4))
    np.savez(folder / "X.npz", X=X, y=X.sum(axis=1))
    np.save(folder / "y.npy", X.sum(axis=1))
    (folder / "m.ednn").write_bytes((GOLDEN / "schema 1, linear.ednn").read_bytes())
    return folder


def check_command(words, folder, monkeypatch):
    testing = pytest.importorskip("typer.testing")
    from sk_ednn.cli._app import app

    monkeypatch.chdir(folder)
    result = testing.CliRunner().invoke(app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 1, 2)
    if result.exit_code == 1:
        # One line on what is wrong, after those on what is done.
        errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1 and result.stderr.endswith(f"{errors[0]}\n")
        assert "Traceback" not in result.stderr


COMMANDS = st.lists(WORDS, max_size=7).filter(lambda words: "demo" not in words)


@pytest.mark.filterwarnings("ignore")
@FEW
@given(words=COMMANDS)
@example(words=["fit", "X.npz", "--model", "quadratic", "-o", "out.ednn", "-q"])
@example(words=["predict", "m.ednn", "X.npz", "--json"])
def test_any_command_is_done_or_answered_in_one_line(words, folder, monkeypatch):
    check_command(words, folder, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@settings(FEW, max_examples=300)
@given(words=COMMANDS)
def test_many_commands(words, folder, monkeypatch):
    check_command(words, folder, monkeypatch)
