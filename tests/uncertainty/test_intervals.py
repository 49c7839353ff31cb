"""Intervals from errors held out: coverage, model files, and what a damaged file may contain."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling, ShiftAveraged
from sk_ednn.encoders import OneHotFields
from sk_ednn.estimators._sizes import sizes_of
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import load, save
from sk_ednn.uncertainty import HeldOutErrors, calibrate, predict_interval


def fields(seed, n=160, noise=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4, 4))
    return X, (X**3).sum(axis=(1, 2)) + noise * rng.normal(size=n)


def member():
    return EDNNRegressor(make_pipeline(PolynomialFeatures(2), Ridge(1e-3)))


def of_channels():
    return EDNNRegressor(Ridge(), GridTiling(1, 0, channel_axis=-1))


MODELS = {
    "regressor": member,
    "pipeline": lambda: make_pipeline(OneHotFields(categories=(-1, 0, 1)), of_channels()),
    "channels": lambda: of_channels(),
    "committee": lambda: EDNNCommittee(member(), n_members=4, random_state=0),
    "shifts": lambda: ShiftAveraged(EDNNRegressor(Ridge(), GridTiling(2, 0))),
}


def data_for(name, seed=0):
    X, y = fields(seed)
    return (np.sign(X).astype(int) if name == "pipeline" else X), y


# --- coverage ----------------------------------------------------------------------------------


UNITS = {
    "sizes": lambda rng, n: {},
    "std": lambda rng, n: {"std": rng.gamma(2.0, size=n)},
    "novelty": lambda rng, n: {"novelty": 1.0 + rng.exponential(size=n)},
    "both": lambda rng, n: {
        "std": rng.gamma(2.0, size=n),
        "novelty": 1.0 + rng.exponential(size=n),
    },
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("informative", [True, False])
def test_intervals_contain_the_requested_share_whatever_the_unit_says(unit, level, informative):
    """One new system for each set held out, so that the number inside is binomial."""
    inside, n, repeats = 0, 19, 1500
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        sizes = rng.integers(8, 200, size=n + 1).astype(float)
        known = UNITS[unit](rng, n + 1)
        scale = sizes if informative else np.ones(n + 1)
        for values in known.values() if informative else ():
            scale = scale * values
        errors = scale * rng.standard_t(3, size=n + 1)
        held = {name: values[:n] for name, values in known.items()}
        new = {name: values[n:] for name, values in known.items()}
        held_out = HeldOutErrors.of(np.zeros(n), errors[:n], sizes[:n], **held)
        inside += abs(errors[n]) <= held_out.half_width(sizes[n:], level=level, **new)[0, 0]
    # (n + 1) level is whole, so the share is the level but for what is estimated of the unit.
    low, high = binom.ppf([1e-6, 1 - 1e-6], repeats, level)
    assert low - 0.01 * repeats <= inside <= high + 0.01 * repeats


@pytest.mark.parametrize("name", ["regressor", "committee"])
def test_intervals_of_models_contain_most_systems_not_seen(name):
    covered, n, m = [], 60, 200
    for seed in range(6):
        X, y = fields(seed, 80 + n + m)
        model = MODELS[name]().fit(X[:80], y[:80])
        calibrate(model, X[80 : 80 + n], y[80 : 80 + n])
        predicted, half = predict_interval(model, X[80 + n :])
        covered.append(np.mean(abs(predicted - y[80 + n :]) <= half))
    # The share of one set held out has a beta distribution, and that of new systems adds to it.
    spread = np.hypot(beta(55, 6).std(), np.sqrt(0.09 / m))
    assert abs(np.mean(covered) - 0.9) < 4.5 * spread / np.sqrt(len(covered))


def test_a_committee_knows_errors_from_its_fit():
    """Of members that had not seen a system, so that they are no smaller than those of all."""
    covered = []
    for seed in range(6):
        X, y = fields(seed, 280)
        model = EDNNCommittee(member(), random_state=seed).fit(X[:80], y[:80])
        predicted, half = predict_interval(model, X[80:])
        covered.append(np.mean(abs(predicted - y[80:]) <= half))
        assert model.held_out_.n_systems <= 80
    assert np.mean(covered) > 0.83
    model = EDNNCommittee(member(), n_members=2, bootstrap=False).fit(X[:80], y[:80])
    assert not hasattr(model, "held_out_")


def test_intervals_are_narrow_where_models_agree():
    rng = np.random.default_rng(0)
    std = rng.gamma(2.0, size=400)
    held_out = HeldOutErrors.of(np.zeros(400), std * rng.normal(size=400), 64, std=std)
    narrow, wide = held_out.half_width([64, 64], std=[0.1, 10.0])[:, 0]
    assert wide > 3 * narrow
    plain = HeldOutErrors.of(np.zeros(400), held_out.errors, 64).half_width(np.full(400, 64.0))
    assert held_out.half_width(np.full(400, 64.0), std=std).mean() < plain.mean()
    # A normal distribution has 68 % within its standard deviation.
    assert held_out.std_factor()[0] == pytest.approx(1.0, abs=0.15)
    assert HeldOutErrors.of(np.zeros(400), held_out.errors, 64).std_factor() is None


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_systems_with_a_large_spread_do_not_widen_the_intervals_of_others(share):
    """Such as hot cells beside cold ones, of which there may be more or fewer."""
    rng = np.random.default_rng(0)
    is_hot = rng.uniform(size=4000) < share
    std = np.where(is_hot, 3.0, 0.05) * rng.uniform(0.5, 2.0, size=4000)
    errors = rng.normal(size=4000) * np.where(is_hot, 6.0, 0.1)
    held_out = HeldOutErrors.of(np.zeros(1000), errors[:1000], 64, std=std[:1000])
    half = held_out.half_width(np.full(3000, 64.0), std=std[1000:])[:, 0]
    inside, is_hot = np.abs(errors[1000:]) <= half, is_hot[1000:]
    assert abs(inside.mean() - 0.9) < 0.04
    assert inside[is_hot].mean() > 0.65 and inside[~is_hot].mean() > 0.65
    if share < 0.8:  # else the spread of the hot ones is the usual one
        assert np.median(half[~is_hot]) < 0.3 * np.median(half[is_hot])


def shared_and_own(seed, *, thin=False):
    """Return errors of small systems, and of larger ones, of several models with common errors.

    Each system has an error of the common part in proportion to its size, and one of each model
    that averages out over it; the latter alone is the spread of the models.
    """
    rng = np.random.default_rng(seed)
    n, m = 48, 40
    sizes = np.concatenate([rng.choice([8.0, 16.0], size=n), np.full(m, 128.0)])
    common = 0.5 * sizes * rng.normal(size=n + m)
    widths = np.where(sizes > 16, 1.5, 0.6)
    if thin:
        common[widths > 1] *= 2  # of surroundings that no thin cell has
    own = np.sqrt(sizes) * rng.normal(size=(4, n + m))
    errors, std = common + own.mean(axis=0), own.std(axis=0)
    held_out = HeldOutErrors.of(np.zeros(n), errors[:n], sizes[:n], std=std[:n], widths=widths[:n])
    return held_out, errors[n:], {"sizes": sizes[n:], "std": std[n:], "widths": widths[n:]}


@pytest.mark.parametrize("thin", [True, False])
def test_intervals_of_systems_larger_than_those_held_out_contain_most_of_them(thin):
    inside, blind = [], []
    for seed in range(40):
        held_out, errors, known = shared_and_own(seed, thin=thin)
        if not thin:
            known["widths"] = None
        half = held_out.half_width(**known)[:, 0]
        inside.append(np.mean(abs(errors) <= half))
        # What the spread and the proportion to the size say alone, as among those held out.
        alone = held_out.half_width(held_out.sizes, std=held_out.std, widths=held_out.widths)[:, 0]
        same = np.median(alone / held_out.sizes) * known["sizes"]
        blind.append(np.mean(abs(errors) <= same))
    assert 0.87 < np.mean(inside) < 0.98
    assert not thin or np.mean(blind) < 0.85


def test_a_committee_that_agrees_is_not_surer_of_larger_systems_than_its_errors_are():
    rng = np.random.default_rng(0)
    std, errors = rng.uniform(0.5, 1.5, size=40), rng.normal(size=40)
    held_out = HeldOutErrors.of(np.zeros(40), errors, 16, std=std)
    plain = HeldOutErrors.of(np.zeros(40), errors, 16)
    sure = {size: held_out.half_width([size], std=[1e-3])[0, 0] for size in (16, 32, 33, 400)}
    for size in (33, 400):
        assert sure[size] >= plain.half_width([size])[0, 0]
    assert sure[16] < plain.half_width([16])[0, 0] and sure[32] < plain.half_width([32])[0, 0]
    assert np.all(np.diff(list(sure.values())) > 0)


def test_factors_of_wider_intervals_explain_the_width():
    rng = np.random.default_rng(3)
    errors, std = rng.normal(size=60), rng.uniform(0.5, 1.0, size=60)
    held_out = HeldOutErrors.of(
        np.zeros(60), errors, np.full(60, 16.0), std=std, widths=np.full(60, 0.6)
    )
    sizes, widths = np.array([16.0, 16.0, 128.0, 128.0]), np.array([0.6, 1.2, 0.6, 1.2])
    some = {"std": sizes / 1000, "level": 0.9}
    factors = held_out.widening(sizes, widths=widths, **some)
    assert factors["wider"].tolist() == pytest.approx([1, 2, 1, 2])
    assert factors["larger"][:2].tolist() == [1, 1] and (factors["larger"][2:] > 1).all()
    half = held_out.half_width(sizes, widths=widths, **some)[:, 0] / sizes
    product = factors["wider"] * factors["larger"]
    # Divided by the factors, deviations of one size per atom give one width per atom.
    np.testing.assert_allclose(half / product, half[0])
    zero = HeldOutErrors.of(np.zeros(60), np.zeros(60), 16, widths=np.full(60, 0.6))
    assert zero.widening([16.0], widths=[2.0])["wider"].tolist() == [1.0]
    assert held_out.n_beyond(0.9) == 6 and zero.n_beyond(0.99) == 0


def test_errors_of_thin_cells_count_double_for_wider_ones_unless_these_were_held_out():
    rng = np.random.default_rng(0)
    errors, sizes = rng.normal(size=60), np.full(60, 16.0)
    widths = rng.uniform(0.5, 0.6, size=60)
    new = np.array([0.5, 0.6, 0.62, 1.0, 3.0, np.inf])

    def half(widths, of=new):
        held_out = HeldOutErrors.of(np.zeros(60), errors, sizes, widths=widths)
        return held_out.half_width(np.full(len(of), 16.0), widths=of)[:, 0], held_out

    width, held_out = half(widths)
    plain = HeldOutErrors.of(np.zeros(60), errors, sizes).half_width([16.0])[0, 0]
    np.testing.assert_allclose(width / plain, [1, 1, 1, 2, 2, 2])
    assert held_out.is_doubled(new).tolist() == [False] * 3 + [True] * 3
    # The intervals of a cell do not depend on the others that are predicted.
    np.testing.assert_allclose(half(widths, new[::-1])[0], width[::-1])
    assert np.all(np.diff(half(widths, np.linspace(0.3, 3, 50))[0]) >= 0)
    for wide in (2.0, 2.6):  # in cells of twice the reach, no site sees another one twice
        some = widths.copy()
        some[:3] = wide
        beside, held_out = half(some)
        assert not held_out.is_doubled(new).any()
        largest = np.abs(errors[:3]).max()
        np.testing.assert_allclose(beside[-3:], max(plain, largest))
        some[0] = 0.5
        assert half(some)[1].is_doubled(new).tolist() == [False] * 3 + [True] * 3
    # Cells wider than the reach do not stand for cells that are wider still, either.
    np.testing.assert_allclose(half(widths + 0.6, np.array([1.2, 1.3, 1.9]))[0] / plain, [1, 1, 2])
    # Where all are twice as wide as the reach, or no width is known, nothing changes.
    np.testing.assert_allclose(half(widths + 2)[0], plain)
    assert held_out.half_width([16.0], widths=None)[0, 0] == pytest.approx(plain)


@given(st.integers(1, 60), st.sampled_from([0.5, 0.8, 0.9, 0.95]), st.floats(0.1, 1e4))
def test_intervals_scale_with_units_and_grow_with_the_level_and_the_size(n, level, factor):
    rng = np.random.default_rng(n)
    errors, sizes = rng.normal(size=n), rng.integers(1, 99, size=n)
    held_out = HeldOutErrors.of(np.zeros(n), errors, sizes)
    if not held_out.suffices(level):
        assert n < held_out.fewest(level)
        with pytest.raises(ValueError, match=f"there are {n}"):
            held_out.half_width([1], level=level)
        return
    assert n >= held_out.fewest(level)
    width = held_out.half_width(sizes, level=level)
    scaled = HeldOutErrors.of(np.zeros(n), factor * errors, sizes)
    np.testing.assert_allclose(scaled.half_width(sizes, level=level), factor * width)
    assert (held_out.half_width(sizes, level=level / 2) <= width).all()
    assert (held_out.half_width(2 * sizes, level=level) >= width).all()
    large = 10 * np.median(sizes) * np.array([1, 3])
    one, three = held_out.half_width(large, level=level)[:, 0]
    assert three == pytest.approx(3 * one)


def test_few_of_many_errors_are_kept_and_unknown_totals_are_left_out():
    rng = np.random.default_rng(0)
    true = np.sort(rng.normal(size=12_345))
    true[::7] = np.nan
    held_out = HeldOutErrors.of(true, np.zeros(12_345), 1)
    assert held_out.n_systems == np.isfinite(true).sum() and len(held_out.errors) <= 1000
    # They are taken evenly, so that their quantiles are those of all.
    quantile = np.nanquantile(np.abs(true), 0.9)
    assert held_out.half_width([1])[0, 0] == pytest.approx(quantile, rel=0.02)
    with pytest.raises(ValueError, match="one shape"):
        HeldOutErrors.of(np.zeros(3), np.zeros(4), 1)
    with pytest.raises(ValueError, match="finite"):
        HeldOutErrors.of(np.zeros(3), np.full(3, np.inf), 1)


# --- models and their files --------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_files_keep_errors_and_a_new_fit_removes_them(name, tmp_path):
    X, y = data_for(name)
    model = calibrate(MODELS[name]().fit(X[:80], y[:80]), X[80:], y[80:])
    totals, half = predict_interval(model, X)
    assert half.shape == totals.shape and (half > 0).all()
    np.testing.assert_allclose(totals, model.predict(X))
    save(model, tmp_path / "m.ednn")
    np.testing.assert_array_equal(predict_interval(load(tmp_path / "m.ednn"), X)[1], half)
    model.fit(X[:80], y[:80])
    if name == "committee":
        assert model.held_out_.n_systems <= 80
    else:
        with pytest.raises(ValueError, match="has no errors of systems held out"):
            predict_interval(model, X)
        save(model, tmp_path / "m.ednn")
        np.testing.assert_array_equal(load(tmp_path / "m.ednn").predict(X), model.predict(X))


@pytest.mark.parametrize("name", MODELS)
def test_sizes_are_sites(name):
    X, y = data_for(name)
    model = MODELS[name]().fit(X, y)
    sites = 4 if name == "channels" else 16
    np.testing.assert_array_equal(sizes_of(model, X), np.full(len(X), float(sites)))


def test_several_outputs_have_intervals_of_their_own():
    X, y = fields(0)
    model = EDNNRegressor().fit(X[:80], np.column_stack([y, 10 * y])[:80])
    calibrate(model, X[80:], np.column_stack([y, 10 * y])[80:])
    totals, half = predict_interval(model, X[:3])
    assert totals.shape == half.shape == (3, 2)
    np.testing.assert_allclose(half[:, 1], 10 * half[:, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="shape of the predicted totals"):
        calibrate(model, X[80:], y[80:])


DAMAGES = {
    "sizes": [None, np.zeros(3), np.full(80, -1.0), np.full(80, np.nan), np.zeros((80, 1))],
    "errors": [None, [0.0] * 80, np.zeros(80), np.zeros((80, 2)), np.full((80, 1), np.inf),
               np.zeros((5000, 1)), np.zeros((80, 1), dtype=int)],
    "std": [np.ones((80, 1)), np.zeros(80), "abc"],
    "novelty": [np.zeros(80), np.full(80, np.inf), np.ones(3), 1.0],
    "n_systems": [3, 80.0, None, -1, True],
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_errors_are_refused(name, tmp_path):
    X, y = fields(0)
    model = calibrate(member().fit(X[:80], y[:80]), X[80:], y[80:])
    intact = model.held_out_
    for value in DAMAGES[name]:
        model.held_out_ = dataclasses.replace(intact, **{name: value})
        save(model, tmp_path / "m.ednn")
        with pytest.raises(ModelFileError, match="cannot be read"):
            load(tmp_path / "m.ednn")
    for value in (1.0, [intact], {"errors": intact.errors}):
        model.held_out_ = value
        save(model, tmp_path / "m.ednn")
        with pytest.raises(ModelFileError, match="held_out_"):
            load(tmp_path / "m.ednn")
    model.held_out_ = intact
    save(model, tmp_path / "m.ednn")
    load(tmp_path / "m.ednn")


def test_masked_totals_are_not_calibrated_with_what_is_under_the_mask():
    model, X = EDNNRegressor(Ridge(), GridTiling(1, 0)), np.arange(60.0).reshape(20, 3)
    y = X.sum(axis=1)
    model.fit(X[:10], y[:10])
    masked = np.ma.masked_array(y[10:], mask=np.arange(10) == 3)
    with pytest.raises(ValueError, match="mask"):
        calibrate(model, X[10:], masked)
    assert not hasattr(model, "held_out_")
    with pytest.raises(ValueError, match="mask"):
        HeldOutErrors.of(masked, y[10:], 3)
