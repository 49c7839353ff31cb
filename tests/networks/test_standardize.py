"""Standardization: mean and scale of channels, learned from fields."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skorch")

from sk_ednn.exceptions import TileModelError  # noqa: E402
from sk_ednn.fields import ArraySource  # noqa: E402
from sk_ednn.fields._fields import Fields, Stack, check_fields  # noqa: E402
from sk_ednn.networks import Standardization  # noqa: E402
from sk_ednn.networks._standardize import learn_standardization  # noqa: E402

RNG = np.random.default_rng(0)


def learned(X, channel_axis=None, weight=None, **params):
    result = learn_standardization(check_fields(X), channel_axis, weight, **params)
    return result.mean, result.scale


@pytest.mark.parametrize("channel_axis", [None, 0, 1, 2, -1])
@pytest.mark.parametrize("block", [1, 40, 1 << 20])
def test_mean_and_std_of_all_sites(channel_axis, block):
    X = RNG.normal(loc=3.0, scale=2.0, size=(11, 3, 4, 5))
    axes = tuple(a for a in range(4) if channel_axis is None or a != 1 + channel_axis % 3)
    mean, scale = learned(X, channel_axis, block_numbers=block)
    np.testing.assert_allclose(mean, X.mean(axis=axes).ravel(), rtol=1e-13)
    np.testing.assert_allclose(scale, X.std(axis=axes).ravel(), rtol=1e-13)


def test_sites_of_all_fields_have_equal_weight():
    fields = [RNG.normal(size=shape) for shape in ((2, 3), (5, 4), (2, 3))]
    together = np.concatenate([field.ravel() for field in fields])
    mean, scale = learned(fields)
    np.testing.assert_allclose([mean[0], scale[0]], [together.mean(), together.std()], rtol=1e-13)


def test_weights_equal_repetitions():
    X, weight = RNG.normal(size=(7, 4, 2)), RNG.integers(1, 4, size=7)
    for one, other in zip(learned(X, -1, weight), learned(X.repeat(weight, 0), -1), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_order_of_samples_does_not_matter():
    X = 1e5 + RNG.normal(size=(50, 6))
    shuffled = learned(X[RNG.permutation(50)], block_numbers=30)
    for one, other in zip(learned(X, block_numbers=30), shuffled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11)


@pytest.mark.parametrize("factor", [1e-200, 1e-3, 1.0, 1e200])
def test_extreme_units(factor):
    X = RNG.normal(size=(9, 8)) + 2
    np.testing.assert_allclose(learned(factor * X), factor * np.array(learned(X)), rtol=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.float32])
def test_narrow_dtypes_are_summed_in_float64(dtype):
    X = np.round(RNG.uniform(size=(300, 7)) * (1 if dtype is bool else 100)).astype(dtype)
    mean, scale = learned(X)
    exact = X.astype(float)
    np.testing.assert_allclose([mean[0], scale[0]], [exact.mean(), exact.std()], rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e5 + 0.1, -7.3e-9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_channels_are_not_scaled(value, dtype):
    X = np.stack([np.full((40, 9, 9), value), RNG.normal(size=(40, 9, 9))], -1).astype(dtype)
    mean, scale = learned(X, -1)
    assert scale[0] == 1.0 and scale[1] == pytest.approx(1, rel=0.1)
    assert mean[0] == pytest.approx(float(dtype(value)), rel=1e-12)


def test_lazy_fields_are_read_once():
    class Counted(ArraySource):
        n_read = 0

        def read(self, slices):
            values = super().read(slices)
            type(self).n_read += values.size
            return values

    X = RNG.normal(size=(30, 6, 5))
    source = Counted(X)
    lazy = Fields((Stack(np.arange(30), source),), 30, False)
    result = learn_standardization(lazy, None)
    np.testing.assert_allclose([result.mean[0], result.scale[0]], [X.mean(), X.std()], rtol=1e-12)
    assert Counted.n_read == X.size
    source.array[17, 2, 3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        learn_standardization(lazy, None)


def test_fields_that_overflow_float64_are_rejected():
    with pytest.raises(TileModelError, match="cannot be standardised"):
        learned(np.array([[-1.7e308, 1.7e308], [1.7e308, -1.7e308]]))


def test_arrays_and_tensors_are_mapped_equally():
    standardization = Standardization(np.array([1e5, -2.0]), np.array([0.1, 7.0]))
    x = RNG.normal(size=(4, 2, 3, 3)) * 7 + np.array([1e5, -2.0])[:, None, None]
    expected = np.stack([(x[:, 0] - 1e5) / 0.1, (x[:, 1] + 2) / 7], axis=1)
    np.testing.assert_allclose(standardization(x), expected, rtol=1e-12)
    np.testing.assert_array_equal(standardization(torch.from_numpy(x)), standardization(x))
    np.testing.assert_allclose(standardization.inverse(expected), x, rtol=1e-14)
