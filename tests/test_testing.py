"""The checks find what is broken, and name it."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.evaluation import AutoEvaluation, Direct, Unique
from sk_ednn.testing import check_evaluation, check_extensive_estimator, check_tiling
from sk_ednn.testing._tiling import _same, _same_rows
from tests._cases import PERIODIC, TILINGS, make_field

PAIRS = make_pipeline(PolynomialFeatures(2), Ridge(1e-3))


class Sound(EDNNRegressor):
    """A sound estimator, from which each class below breaks one law."""

    def __init__(self, tile_model=PAIRS, tiling=GridTiling(2, 1)):  # noqa: B008
        super().__init__(tile_model, tiling)


class ConstantPerSample(Sound):
    def predict(self, X):
        return super().predict(X) + 0.1


class RootOfSize(Sound):
    def predict(self, X):
        return super().predict(X) + np.array([1e-3 * np.sqrt(np.size(x)) for x in X])


class DependsOnPositions(Sound):
    """Counts the spins of the first column, once for each time it is repeated along an axis."""

    def predict(self, X):
        left = [np.sum(x[:, ::8]) for x in X]
        return super().predict(X) + 0.01 * np.array(left)


class DependsOnTheBatch(Sound):
    def predict(self, X):
        return super().predict(X) + 0.01 * len(X)


class LosesContributions(Sound):
    def predict_contributions(self, X):
        maps = super().predict_contributions(X)
        return [np.concatenate([0 * m[:1], m[1:]]) for m in maps]


class ChangesTheFields(Sound):
    def fit(self, X, y):
        X[0, 0, 0] += 1
        return super().fit(X, y)


class ReturnsSinglePrecision(Sound):
    def predict(self, X):
        return super().predict(X).astype(np.float32)


class ReturnsNone(Sound):
    def fit(self, X, y):
        super().fit(X, y)


class LosesStateInPickles(Sound):
    """A pickled copy has lost something."""

    def __getstate__(self):
        return {**super().__getstate__(), "lost": True}

    def predict(self, X):
        return super().predict(X) + (1.0 if hasattr(self, "lost") else 0.0)


class DependsOnGlobalState(Sound):
    """Random, and no parameter seeds it."""

    def fit(self, X, y):
        self.drift = np.random.default_rng().normal()  # seeded by the machine, on purpose
        return super().fit(X, y)

    def predict(self, X):
        return super().predict(X) * (1 + 1e-3 * self.drift)

    def predict_contributions(self, X):
        return [m * (1 + 1e-3 * self.drift) for m in super().predict_contributions(X)]


@pytest.mark.parametrize(
    "estimator",
    [
        EDNNRegressor(),
        Sound(),
        EDNNRegressor(PAIRS, GridTiling(4, 0), baseline="content"),
        EDNNRegressor([("a", PAIRS, GridTiling(2, 1)), ("b", Ridge(1e-3), GridTiling(1, 0))]),
        EDNNCommittee(Sound(), n_members=2, random_state=0),
        make_pipeline(FunctionTransformer(), Sound()),
    ],
    ids=["default", "pairs", "content", "two terms", "committee", "pipeline"],
)
def test_sound_estimators_pass(estimator):
    # 4 is a multiple of every focus here.
    check_extensive_estimator(estimator, focus=4)


@pytest.mark.parametrize(
    ("estimator", "law"),
    [
        (ConstantPerSample(), "copies: .* along axis 0"),
        (RootOfSize(), "copies"),
        (DependsOnPositions(), "shift: .*shifted by 2.* along axis 1"),
        (DependsOnTheBatch(), "batch: a field alone"),
        (LosesContributions(), "additivity"),
        (ChangesTheFields(), "purity"),
        (ReturnsSinglePrecision(), "output: predict must return float64"),
        (ReturnsNone(), "output: fit must return the estimator"),
        (LosesStateInPickles(), "refit: a pickled copy"),
        (DependsOnGlobalState(), "refit: a second fit"),
        (EDNNRegressor(Ridge(), GridTiling(2, 1, boundary="zero")), "copies"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_each_violation_is_named(estimator, law):
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_extensive_estimator(estimator, focus=2)


def test_the_shift_is_that_of_the_tiling():
    check_extensive_estimator(EDNNRegressor(Ridge(), GridTiling((2, 4), 1)))
    # No law for shifts below the focus: with such a shift the check fails.
    rough = EDNNRegressor(PAIRS, GridTiling((2, 4), 1))
    with pytest.raises(AssertionError, match=r"^shift: .* shifted by 1"):
        check_extensive_estimator(rough, focus=1)


def test_fields_with_channels_and_several_outputs():
    X = make_field("float64", 20, (4, 4, 3))
    y = np.stack([X.sum(axis=(1, 2, 3)), (X**2).sum(axis=(1, 2, 3))], axis=1)
    model = EDNNRegressor(Ridge(), GridTiling(2, 1, channel_axis=-1))
    check_extensive_estimator(model, X, y, channel_axis=-1)
    with pytest.raises(ValueError, match="Pass the totals"):
        check_extensive_estimator(model, X)


# --- tilings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TILINGS)
def test_all_tilings_pass(name):
    tiling, shape, other = TILINGS[name]
    check_tiling(tiling, shape)
    check_tiling(tiling, other)
    assert name not in PERIODIC or tiling.boundary == "periodic"


class OverlappingFoci(GridTiling):
    def focus_sites(self, tile_shape):
        return tuple(slice(0, n) for n in tile_shape)


class OmitsTheLastBlock(GridTiling):
    def plan(self, fields, max_tiles):
        blocks = super().plan(fields, max_tiles)
        return blocks[:-1] if len(blocks) > 2 else blocks


class MissesAffectedTiles(GridTiling):
    def affected(self, field_shape, changed):
        return super().affected(field_shape, changed)[:-1]


class DependsOnTheBlock(GridTiling):
    def read(self, fields, block):
        tiles = np.array(super().read(fields, block))
        tiles[:, 0, 0, 0, 0] = 0.0 if block.region[0].start == 0 else tiles[:, 0, 0, 0, 0]
        return tiles


class ReturnsTheWrongGrid(GridTiling):
    def tile_grid(self, field_shape):
        return tuple(2 * n for n in super().tile_grid(field_shape))


@pytest.mark.parametrize(
    ("tiling", "law"),
    [
        (OverlappingFoci(2, 1), "partition: .*several"),
        (OmitsTheLastBlock(2, 1), "blocks"),
        (MissesAffectedTiles(2, 1), "affected"),
        (DependsOnTheBlock(2, 1), "shapes|blocks|affected|shift"),
        (ReturnsTheWrongGrid(2, 1), "shapes"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_broken_tilings_are_found(tiling, law):
    with pytest.raises(AssertionError, match=f"^({law})"):
        check_tiling(tiling, (4, 6))


# --- evaluations --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "evaluation", [Direct(), Direct(max_tiles=5), Unique(), AutoEvaluation()], ids=repr
)
def test_all_evaluations_pass(evaluation):
    if getattr(evaluation, "max_tiles", None):
        # Three million tiles in blocks of five would take an hour.
        evaluation.set_params(max_tiles=50_000)
    check_evaluation(evaluation)


class SinglePrecision(Direct):
    def totals(self, tile_model, tiling, fields):
        return super().totals(tile_model, tiling, fields).astype(np.float32).astype(float)


class ByShape(Direct):
    def totals(self, tile_model, tiling, fields):
        totals = super().totals(tile_model, tiling, fields)
        return np.concatenate([totals[stack.samples] for stack in fields.stacks])


class TwiceTheFirst(Direct):
    def contributions(self, tile_model, tiling, fields):
        maps = super().contributions(tile_model, tiling, fields)
        maps[0][:, 0] *= 2
        return maps


class AddsUpInSinglePrecision(Direct):
    """Right for a few tiles."""

    def totals(self, tile_model, tiling, fields):
        maps = self.contributions(tile_model, tiling, fields)
        totals = super().totals(tile_model, tiling, fields)
        if maps[0].size > 1_000_000:
            return np.cumsum(maps[0].ravel(), dtype=np.float32)[-1:].astype(float)[:, None]
        return totals


class Drifts(Direct):
    def totals(self, tile_model, tiling, fields):
        self.calls = getattr(self, "calls", 0) + 1
        return super().totals(tile_model, tiling, fields) * (1 + 1e-15 * self.calls)


@pytest.mark.parametrize(
    ("evaluation", "law"),
    [
        (SinglePrecision(), "totals: must be the sum"),
        (ByShape(), "order"),
        (TwiceTheFirst(), "additivity"),
        (AddsUpInSinglePrecision(), "many"),
        (Drifts(), "repeatable"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "totals") else "",
)
def test_broken_evaluations_are_found(evaluation, law):
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_evaluation(evaluation)


def test_tiles_are_equal_up_to_rounding_in_any_order(rng):
    tiles = rng.normal(size=(7, 3))
    tiles[3] = tiles[5] * [1, 1, -1]  # ties in the first columns
    rounded = (tiles * (1 + 1e-15 * rng.choice([-1, 0, 1], size=tiles.shape)))[rng.permutation(7)]
    assert _same_rows(rounded, tiles) and _same(tiles * (1 + 1e-15), tiles)
    wrong = rounded.copy()
    wrong[2, 1] += 1e-6
    twice = np.concatenate([rounded[:6], rounded[:1]])
    for other in (wrong, twice, rounded[:6]):
        assert not _same_rows(other, tiles)
    assert not _same(tiles * (1 + 1e-6), tiles)
