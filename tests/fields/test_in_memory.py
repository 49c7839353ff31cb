"""Totals, weights and gradients that lie in stores."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.atoms import GaussianRasterizer
from sk_ednn.datasets import ising_energy
from sk_ednn.encoders import AngleFields
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.fields._in_memory import as_array
from sk_ednn.inspection import size_transfer
from sk_ednn.metrics import extensive_errors, judge
from sk_ednn.simulation import Metropolis
from sk_ednn.uncertainty import NoveltyGuard, error_ranking


def _half_written(kind, values, tmp_path):
    """Return a store of which the second half of the chunks was never written."""
    half = len(values) // 2
    tmp_path.mkdir(exist_ok=True)
    library = pytest.importorskip(kind)
    chunks = (half, *values.shape[1:])
    if kind == "h5py":
        file = library.File(tmp_path / "half.h5", "w")
        store = file.create_dataset("a", shape=values.shape, dtype=values.dtype, chunks=chunks)
    else:
        store = library.create_array({}, shape=values.shape, dtype=values.dtype, chunks=chunks)
    store[:half] = values[:half]
    return store


@pytest.mark.parametrize("kind", ["h5py", "zarr"])
@pytest.mark.parametrize("what", ["y", "sample_weight", "gradient", "score", "score weight"])
@pytest.mark.parametrize("estimator", ["EDNNRegressor", "EDNNCommittee", "NoveltyGuard"])
def test_holes_are_refused_in_whatever_is_given_beside_fields(kind, what, estimator, tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (X * np.roll(X, 1, 1)).sum(axis=1)
    base = EDNNRegressor(Ridge(), GridTiling(1, 1))
    model = {
        "EDNNRegressor": base,
        "EDNNCommittee": EDNNCommittee(base, n_members=2, random_state=0),
        "NoveltyGuard": NoveltyGuard(base, alarm_rate=0.2, random_state=0),
    }[estimator]
    if what == "gradient" and estimator == "NoveltyGuard":
        pytest.skip("It takes no gradients.")
    values = X if what == "gradient" else y if what in ("y", "score") else np.ones(60)
    store = _half_written(kind, values, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"never written|not in the store"):
        if what == "y":
            model.fit(X, store)
        elif what == "score":
            model.fit(X, y).score(X, store)
        elif what == "score weight":
            model.fit(X, y).score(X, y, sample_weight=store)
        else:
            model.fit(X, y, **{what: store})


# --- whatever else is handed over beside fields ---------------------------------------------------

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(20, 4))
FIELDS = RNG.normal(size=(20, 4, 4))


def fitted():
    return EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(FIELDS, FIELDS.sum(axis=(1, 2)))


def moved(model, **given):
    local = LocalUpdates(model, FIELDS[0])
    sites = given.get("sites", [[0, 1], [2, 3]])
    local.propose(sites, given.get("values", [1.0, 2.0]))


# For each use: a call with something in the place of values, and those values.
USES = {
    "errors of totals": (lambda given: extensive_errors(given, ROWS[:, 1]), ROWS[:, 0]),
    "predicted totals": (lambda given: extensive_errors(ROWS[:, 1], given), ROWS[:, 0]),
    "sizes": (lambda given: extensive_errors(ROWS[:, 1], ROWS[:, 2], given), np.abs(ROWS[:, 0])),
    "verdict": (lambda given: judge(given, ROWS[:, 1]), ROWS[:, 0]),
    "sizes of a verdict": (lambda g: judge(ROWS[:, 1], ROWS[:, 2], g), np.abs(ROWS[:, 0])),
    "size transfer": (lambda g: size_transfer(g, ROWS[:, 1], np.arange(20) % 2 + 1), ROWS[:, 0]),
    "ranking": (lambda given: error_ranking(given, ROWS[:, 1]), np.abs(ROWS[:, 0])),
    "sites of a move": (lambda given: moved(fitted(), sites=given), np.array([[0, 1], [2, 3]])),
    "values of a move": (lambda given: moved(fitted(), values=given), np.array([1.0, 2.0])),
    "field of moves": (lambda given: LocalUpdates(fitted(), given), FIELDS[0]),
    "tiles": (lambda given: fitted().tile_model_.predict(given), RNG.normal(size=(8, 3, 3))),
    "temperatures": (
        lambda given: Metropolis(fitted(), given, values=[-1.0, 1.0]).run(np.sign(FIELDS[0]), 1),
        np.array([1.0, 2.0]),
    ),
    "spins": (lambda given: ising_energy(given), np.sign(FIELDS)),
    "couplings": (lambda given: ising_energy(np.sign(FIELDS), given), np.array([1.0, 0.5])),
    "slopes of angles": (
        lambda given: AngleFields(period=3).fit(FIELDS).angle_gradients(FIELDS, [given] * 20),
        FIELDS[0],
    ),
    "positions": (lambda given: drawn([1, 6], given), np.array([[0.5, 0.5], [1.5, 2.5]])),
    "atomic numbers": (lambda given: drawn(given, [[0.5, 0.5], [1.5, 2.5]]), np.array([1, 6])),
    "cell": (
        lambda given: drawn([1, 6], [[0.5, 0.5], [1.5, 2.5]], given),
        np.array([3.0, 4.0]),
    ),
}


def drawn(numbers, positions, cell=(3.0, 4.0)):
    structure = {"numbers": numbers, "positions": positions, "cell": cell}
    return GaussianRasterizer(spacing=0.5, width=0.5).fit_transform([structure])


@pytest.mark.parametrize("kind", ["h5py", "zarr"])
@pytest.mark.parametrize("use", USES)
def test_holes_are_refused_wherever_numbers_are_handed_over(use, kind, tmp_path):
    ask, values = USES[use]
    ask(values)
    with pytest.raises((FileNotFoundError, ValueError), match=r"never written|not in the store"):
        ask(_half_written(kind, values, tmp_path))
        pytest.fail(use)
    whole = _half_written(kind, values, tmp_path / "whole")
    whole[...] = values
    ask(whole)


@pytest.mark.parametrize("use", USES)
def test_packed_and_missing_numbers_are_refused_wherever_they_are_handed_over(use):
    xarray = pytest.importorskip("xarray")
    ask, values = USES[use]
    for attributes, words in (
        ({"scale_factor": 0.5}, "is packed"),
        ({"_FillValue": values.ravel()[0]}, "mark as missing"),
    ):
        with pytest.raises(ValueError, match=words):
            ask(xarray.DataArray(values, attrs=attributes))
            pytest.fail(use)


def test_lists_of_stores_are_read_by_the_same_rule(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        parts = [file.create_dataset(str(k), data=1.0 * k) for k in range(3)]
        np.testing.assert_array_equal(as_array(parts, "y", float), [0.0, 1.0, 2.0])
        parts[1].attrs["_FillValue"] = 1.0
        with pytest.raises(ValueError, match=r"^y\[1\] contains 1.0"):
            as_array(parts, "y")
        parts[1] = file.create_dataset("never", (), "f8")
        with pytest.raises(FileNotFoundError, match="Nothing was ever written"):
            as_array(parts, "y")


def test_what_is_no_array_is_named():
    for given, words in {
        None: "y must be an array of numbers; got None",
        "totals.npy": r"y must be an array of numbers; got the name 'totals\.npy'",
    }.items():
        with pytest.raises(ValueError, match=words):
            as_array(given, "y")
