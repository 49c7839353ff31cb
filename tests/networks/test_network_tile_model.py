"""A fitted network as a tile model."""

import traceback

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from torch import nn  # noqa: E402

from sk_ednn import EDNNRegressor, GridTiling  # noqa: E402
from sk_ednn.networks import NotConvolutional  # noqa: E402
from sk_ednn.summing import GradientSumFit  # noqa: E402


def test_a_reason_that_is_known_is_raised_anew():
    """An exception that is kept and raised again grows by a traceback each time."""
    X = np.random.default_rng(0).normal(size=(4, 6, 6))
    padding = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Flatten(), nn.Linear(18, 1))
    model = EDNNRegressor(padding, GridTiling(1, 1), summing=GradientSumFit(max_epochs=1))
    tile_model = model.fit(X, X.sum(axis=(1, 2))).tile_model_
    raised, depths = [], []
    for _ in range(5):
        with pytest.raises(NotConvolutional, match=r"Layer '0' .* pads") as caught:
            tile_model.dense_form(model.tiling_)
        raised.append(caught.value)
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))
    assert len(set(map(id, raised))) == 5 and len({str(error) for error in raised}) == 1
    assert depths[1:] == [depths[1]] * 4
