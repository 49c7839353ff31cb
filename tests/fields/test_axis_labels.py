"""Labelled fields with the axes of the fit in another order are refused, never transposed."""

from itertools import product

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged, files
from sk_ednn.encoders import AngleFields, IntensiveContext
from sk_ednn.evaluation import LocalUpdates
from sk_ednn.exceptions import DataWarning, TilingError

xarray = pytest.importorskip("xarray")
pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=(12, 4, 4, 2))
TOTALS = VALUES[..., 0].sum(axis=(1, 2))
AXES = ("sample", "lat", "lon", "part")
FIELDS = xarray.DataArray(
    VALUES, dims=AXES,
    coords={"sample": np.arange(12), "lat": [4.0, 3.0, 2.0, 1.0], "part": ["up", "down"]},
)  # fmt: skip
SITES = FIELDS.isel(part=0, drop=True)

OTHERS = {
    "transposed": (lambda X: X.transpose("sample", "lon", "lat", ...), "transpose"),
    "samples elsewhere": (lambda X: X.transpose("lat", "lon", "sample", ...), "transpose"),
    "reversed": (lambda X: X.sortby("lat"), "ascending=False"),
}
CHANNELS = {"channels": (lambda X: X.sel(part=["down", "up"]), r"sel\(part=\['up', 'down'\]\)")}


def fitted(kind):
    ridge = EDNNRegressor(Ridge(1e-6), GridTiling(1, channel_axis=-1))
    plain = EDNNRegressor(Ridge(1e-6), GridTiling(1))
    model, X = {
        "regressor": (ridge, FIELDS),
        "committee": (EDNNCommittee(ridge, n_members=2, random_state=0), FIELDS),
        "shifts": (ShiftAveraged(ridge, 3, selection="random", random_state=0), FIELDS),
        "angles": (make_pipeline(AngleFields(), ridge), SITES),
        "averages": (make_pipeline(IntensiveContext(), ridge), SITES),
        "no channels": (plain, SITES),
    }[kind]
    return model.fit(X, TOTALS), X


KINDS = ("regressor", "committee", "shifts", "angles", "averages", "no channels")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lazy", [False, True], ids=["memory", "dask"])
def test_the_same_axes_in_another_order(kind, lazy):
    model, X = fitted(kind)
    if lazy:
        pytest.importorskip("dask.array")
        X = X.chunk({"sample": 4})
    changes = OTHERS | (CHANNELS if "part" in X.dims else {})
    for name, (change, remedy) in changes.items():
        with pytest.raises(TilingError, match=remedy):
            model.predict(change(X))
            pytest.fail(name)
    np.testing.assert_allclose(model.predict(X), model.predict(X.data))


def test_remedies_of_the_messages():
    """What a message advises is accepted, with the numbers of the unchanged fields."""
    model, X = fitted("regressor")
    for change, back in (
        (OTHERS["transposed"][0], lambda Z: Z.transpose(*AXES)),
        (OTHERS["samples elsewhere"][0], lambda Z: Z.transpose(*AXES)),
        (OTHERS["reversed"][0], lambda Z: Z.sortby("lat", ascending=False)),
        (CHANNELS["channels"][0], lambda Z: Z.sel(part=["up", "down"])),
    ):
        np.testing.assert_array_equal(model.predict(back(change(X))), model.predict(X))


@pytest.mark.parametrize(
    "X",
    [
        FIELDS.rename(lat="y", lon="x"),
        FIELDS.drop_vars("lat"),
        FIELDS.isel(lat=[0]),
        list(FIELDS),
        list(VALUES),
        FIELDS.variable,
    ],
    ids=["other names", "no coordinates", "one row", "list", "arrays", "variable"],
)
def test_what_is_no_contradiction(X):
    model, _ = fitted("regressor")
    assert len(model.predict(X)) == 12


def test_lists_and_single_fields():
    model, X = fitted("regressor")
    with pytest.raises(TilingError, match="transpose"):
        model.predict([X[0].transpose("lon", "lat", "part")])
    with pytest.raises(TilingError, match=r"in X\[0\], but lon, lat, part in X\[1\]"):
        model.fit([X[0], X[1].transpose("lon", "lat", "part"), *X[2:]], TOTALS)
    with pytest.raises(TilingError, match="ascending"):
        LocalUpdates(model, X[0].sortby("lat"))


def test_labels_are_stored_and_replaced(tmp_path):
    model, X = fitted("regressor")
    files.save(model, tmp_path / "model.ednn")
    loaded = files.load(tmp_path / "model.ednn")
    assert loaded.axis_labels_ == model.axis_labels_
    with pytest.raises(TilingError, match="transpose"):
        loaded.predict(OTHERS["transposed"][0](X))
    model.fit(VALUES, TOTALS)
    assert not hasattr(model, "axis_labels_")
    cached = EDNNRegressor(Ridge(), GridTiling(1, channel_axis=-1), memory=str(tmp_path))
    assert cached.fit(X, TOTALS).axis_labels_ == loaded.axis_labels_
    assert not hasattr(cached.fit(VALUES, TOTALS), "axis_labels_")


TABLE = pd.DataFrame(VALUES[:, 0, :, 0], index=np.arange(12) + 5)
SHUFFLED = RNG.permutation(12)


@pytest.mark.parametrize("name, container", list(product(("y", "sample_weight", "groups"), "px")))
def test_samples_in_another_order(name, container):
    """Totals and weights are matched by position, and labels that contradict it are named."""
    if container == "p":
        X, given = TABLE, pd.Series(np.arange(1.0, 13.0), index=TABLE.index)
        others = given.iloc[SHUFFLED]
    else:
        X = FIELDS[:, 0, :, 0]
        given = xarray.DataArray(
            np.arange(1.0, 13.0), dims="sample", coords={"sample": np.arange(12)}
        )
        others = given[SHUFFLED]
    arguments = {"y": VALUES[:, 0, :, 0].sum(axis=1)}
    model = EDNNRegressor(Ridge(), GridTiling(1))
    model.fit(X, **arguments | {name: given})
    with pytest.warns(DataWarning, match=f"{name} has the labels of X in another order"):
        model.fit(X, **arguments | {name: others})
    model.fit(X, **arguments | {name: others.to_numpy()})


# Names that are no texts, which scikit-learn does not compare; and texts, which it does.
COLUMNS = {
    "numbers": list(range(8)),
    "floats": [k / 2 for k in range(8)],
    "pairs": [(k, "a") for k in range(8)],
    "texts": list("abcdefgh"),
}


@pytest.mark.parametrize("names", COLUMNS)
@pytest.mark.parametrize("order", [range(7, -1, -1), [1, 0, *range(2, 8)]], ids=["turned", "two"])
def test_columns_of_tables_in_another_order(names, order):
    pandas = pytest.importorskip("pandas")
    columns = COLUMNS[names]
    columns = pandas.MultiIndex.from_tuples(columns) if names == "pairs" else columns
    values = np.random.default_rng(0).normal(size=(12, 8))
    table = pandas.DataFrame(values, columns=columns)
    fitted = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(table, values[:, 0])
    expected = fitted.predict(values)
    rows = [table.iloc[k] for k in range(12)]
    for same in (table, rows, [row.set_axis(range(20, 28)) for row in rows]):
        np.testing.assert_array_equal(fitted.predict(same), expected)
    for other in (table.iloc[:, order], [row.iloc[order] for row in rows]):
        for method in (fitted.predict, fitted.predict_contributions, fitted.check_systems):
            with pytest.raises(ValueError, match=r"in the fields of the fit, but|Feature names"):
                method(other)
    with pytest.raises(TilingError, match=r"along columns are .* in X\[0\], but .* in X\[1\]"):
        fitted.predict([rows[0], rows[1].iloc[order]])


def test_series_of_fields_have_labels_of_samples_alone():
    pandas = pytest.importorskip("pandas")
    fields = list(np.random.default_rng(0).normal(size=(6, 8)))
    fitted = EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(pandas.Series(fields), np.ones(6))
    turned = pandas.Series(fields, index=range(5, -1, -1))
    np.testing.assert_array_equal(fitted.predict(turned), fitted.predict(fields))
