"""Numbers that usually mark missing values are named, where nothing declares them."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import DataWarning
from sk_ednn.fields._marks import doubt_of_marks
from sk_ednn.images import CountRegressor
from sk_ednn.tiling import BagTiling
from tests._cases import make_field

X = make_field("float64", 30, (4, 4))
Y = X.sum(axis=(1, 2))


def marked(values, mark, place):
    values = np.array(values)
    values[place] = mark
    return values


@pytest.mark.parametrize(
    ("mark", "dtype"),
    [(-9999, "f8"), (-9999, "f4"), (-9999, "i2"), (-999, "i8"), (1e20, "f8"), (1e20, "f4"),
     (9.969209968386869e36, "f4"), (-32768, "i2"), (np.finfo("f4").min, "f8"), (999, "f2")],
)  # fmt: skip
def test_usual_marks_far_from_all_others_are_named(mark, dtype):
    values = marked((10 * X).astype(dtype), mark, (3, 2, 1))
    assert doubt_of_marks(values, "X").startswith(f"X contains {mark:.6g} at [3, 2, 1], one of 1")
    values[0, 0, :2] = values[3, 2, 1]
    assert "one of 3 such values" in doubt_of_marks(values, "X")


@pytest.mark.parametrize(
    "values",
    [
        X,
        1e4 * X,
        np.linspace(-9999, 9999, 50),
        np.array([-9999.0, -9000.0, -8000.0]),
        np.where(X > 0, 9999, 0),
        np.arange(1000),
        np.array([9999.0, 9999.0]),
        np.array([], dtype=float),
        np.array([np.nan, 1.0, 2.0]),
        X > 0,
    ],
    ids=lambda values: str(values.shape),
)
def test_other_numbers_are_not(values):
    assert doubt_of_marks(values, "X") is None


def fitted(X, y, tiling=None):
    return EDNNRegressor(Ridge(), tiling or GridTiling(1, 0)).fit(X, y)


BAGS = [np.random.default_rng(k).normal(size=(4, 2)) for k in range(30)]
FITS = {
    "X": lambda: fitted(marked(X, -9999, (3, 2, 1)), Y),
    "X of several sizes": lambda: fitted([*X[:-1], marked(X[-1, :2], -9999, (1, 1))], Y),
    "a channel": lambda: fitted(
        np.stack([1e6 * X, marked(X, -9999, (3, 2, 1))], axis=-1), Y,
        GridTiling(1, 0, channel_axis=-1),
    ),
    "a column": lambda: fitted(
        [marked(bag * [1e6, 1], -9999, (0, 1)) for bag in BAGS], np.arange(30.0), BagTiling()
    ),
    "y": lambda: fitted(X, marked(Y, -9999, 3)),
    "an output": lambda: fitted(X, np.stack([1e6 * Y, marked(Y, -9999, 3)], axis=1)),
    "totals of pictures": lambda: CountRegressor(max_epochs=1, n_members=1).fit(
        make_field("float32", 9, (24, 24)), marked(np.arange(9.0) + 0.5, -9999, 3)
    ),
    "pixels": lambda: CountRegressor(max_epochs=1, n_members=1).fit(
        marked(make_field("float32", 9, (24, 24)), -9999, (3, 2, 1)), np.arange(9.0) + 1
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FITS)
def test_fits_warn_of_marks(name):
    if name in ("pixels", "totals of pictures"):
        pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", "(?s).*seems to mark missing values", DataWarning)
        with pytest.raises(DataWarning, match=r"contains -9999 at"):
            FITS[name]()


def test_fits_do_not_warn_of_others():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?s).*seems to mark missing values", DataWarning)
        fitted(X, Y)
        fitted(BAGS, np.arange(30.0), BagTiling())
