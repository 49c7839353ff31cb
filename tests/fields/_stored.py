"""Fields in stores, and the checks of a source of them: it is used, or refused."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from sk_ednn import EDNNRegressor, GridTiling
from tests._cases import make_field

X = make_field("float64", 12, (8, 6))
Y = X.sum(axis=(1, 2))
LOST = (FileNotFoundError, ValueError, RuntimeError)


def model():
    return EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(X, Y)


def used(source):
    """Use a source in every way: read whole, fitted to, predicted."""
    fitted = model()
    return {
        "read_all": lambda: source.read_all(),
        "fit": lambda: EDNNRegressor(Ridge(), GridTiling(1, 1)).fit(source, Y),
        "predict": lambda: fitted.predict(source).compute(scheduler="synchronous"),
        "contributions": lambda: fitted.predict_contributions(source).compute(
            scheduler="synchronous"
        ),
    }


def refused(source, words):
    pytest.importorskip("dask.array")
    for name, use in used(source).items():
        with pytest.raises(LOST, match=words):
            use()
            pytest.fail(name)


def accepted(source):
    np.testing.assert_array_equal(source.read_all(), X)
    np.testing.assert_array_equal(model().predict(source).compute(), model().predict(X))
