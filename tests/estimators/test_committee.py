"""EDNNCommittee: bagging for fields of any dimension."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.tree import DecisionTreeRegressor

from sk_ednn import EDNNCommittee, EDNNRegressor, GridTiling
from sk_ednn.exceptions import ExtensivityWarning, NoveltyWarning
from sk_ednn.solvers import BoostingSolver
from tests._cases import left_as_it_was, make_field

MEMBER = EDNNRegressor(Ridge(0.1), GridTiling(2, 1))


def data(kind="array", n=20):
    X = make_field("float64", n, (4, 4))
    y = np.abs(X).sum(axis=(1, 2)) + 0.3 * X[:, 0, 0] ** 2
    if kind == "list":
        more = make_field("float64", n // 2, (6, 8), 1)
        X = [*X, *more]
        y = np.concatenate([y, np.abs(more).sum(axis=(1, 2))])
    return X, y


@pytest.mark.parametrize("kind", ["array", "list"])
def test_mean_and_deviation_are_those_of_the_members(kind):
    X, y = data(kind)
    committee = EDNNCommittee(MEMBER, 5, random_state=0).fit(X, y)
    predictions = np.stack([member.predict(X) for member in committee.estimators_])
    mean, std = committee.predict(X, return_std=True)
    np.testing.assert_allclose(mean, predictions.mean(axis=0))
    np.testing.assert_allclose(std, predictions.std(axis=0, ddof=1))
    np.testing.assert_array_equal(committee.predict(X), mean)
    assert len(committee.estimators_) == 5


@pytest.mark.parametrize("kind", ["array", "list", "object array"])
def test_members_see_the_samples_that_were_drawn(kind):
    X, y = data("array" if kind == "array" else "list")
    if kind == "object array":
        fields, X = X, np.empty(len(X), dtype=object)
        X[:] = fields
    committee = EDNNCommittee(MEMBER, 4, random_state=0).fit(X, y)
    for member, drawn in zip(committee.estimators_, committee.estimators_samples_, strict=True):
        assert len(drawn) == len(y)
        assert len(set(drawn)) < len(y)
        alone = clone(member).fit([X[i] for i in drawn], y[drawn])
        np.testing.assert_allclose(alone.predict(list(X)), member.predict(list(X)), rtol=1e-9)


def test_out_of_bag_predictions():
    X, y = data()
    committee = EDNNCommittee(MEMBER, 3, random_state=0).fit(X, y)
    for sample in range(len(X)):
        unseen = [
            member.predict(X[[sample]])[0]
            for member, drawn in zip(
                committee.estimators_, committee.estimators_samples_, strict=True
            )
            if sample not in drawn
        ]
        if unseen:
            np.testing.assert_allclose(committee.oob_prediction_[sample], np.mean(unseen))
        else:
            assert np.isnan(committee.oob_prediction_[sample])


def test_without_bootstrap_members_differ_only_by_their_seeds():
    X, y = data()
    committee = EDNNCommittee(MEMBER, 3, bootstrap=False, random_state=0).fit(X, y)
    assert committee.predict(X, return_std=True)[1].max() < 1e-12
    assert np.isnan(committee.oob_prediction_).all()
    tree = DecisionTreeRegressor(max_depth=2, max_features=1)
    seeded = EDNNRegressor(tree, solver=BoostingSolver(n_stages=2))
    committee = EDNNCommittee(seeded, 3, bootstrap=False, random_state=0).fit(X, y)
    assert committee.predict(X, return_std=True)[1].min() > 0


def test_groups_are_drawn_whole_and_passed_on():
    X, y = data()
    groups = np.arange(20) // 4
    committee = EDNNCommittee(MEMBER, 6, random_state=0).fit(X, y, groups=groups)
    for drawn in committee.estimators_samples_:
        times = np.bincount(drawn, minlength=20).reshape(5, 4)
        assert (times == times[:, :1]).all()


def test_weights_are_passed_on():
    X, y = data()
    weight = np.where(np.arange(20) < 10, 1.0, 1e-9)
    committee = EDNNCommittee(MEMBER, 3, bootstrap=False).fit(X, y, sample_weight=weight)
    expected = clone(MEMBER).fit(X, y, sample_weight=weight).predict(X)
    np.testing.assert_allclose(committee.predict(X), expected)


def test_gradients_are_passed_on():
    class Fitted(EDNNRegressor):
        def fit(self, X, y, *, gradient):
            self.given_ = X, gradient
            return super().fit(X, y)

    X, y = data()
    committee = EDNNCommittee(Fitted(), 3, random_state=0).fit(X, y, gradient=2 * X)
    for member, drawn in zip(committee.estimators_, committee.estimators_samples_, strict=True):
        np.testing.assert_array_equal(member.given_[0], X[drawn])
        np.testing.assert_array_equal(member.given_[1], 2 * X[drawn])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_same_seed_gives_the_same_committee(n_jobs):
    X, y = data()
    expected = EDNNCommittee(MEMBER, 3, random_state=0).fit(X, y).predict(X)
    again = EDNNCommittee(MEMBER, 3, random_state=0, n_jobs=n_jobs).fit(X, y)
    np.testing.assert_allclose(again.predict(X), expected, rtol=1e-12)
    other = EDNNCommittee(MEMBER, 3, random_state=1).fit(X, y).predict(X)
    assert np.abs(other - expected).max() > 0


def test_several_outputs():
    X, y = data()
    Y = np.stack([y, -y], axis=1)
    committee = EDNNCommittee(MEMBER, 3, random_state=0).fit(X, Y)
    mean, std = committee.predict(X, return_std=True)
    assert mean.shape == std.shape == committee.oob_prediction_.shape == Y.shape
    np.testing.assert_allclose(mean[:, 0], -mean[:, 1])


def test_members_disagree_more_about_unseen_fields():
    X, y = data("list")
    committee = EDNNCommittee(MEMBER, 6, random_state=0).fit(X, y)
    near = committee.predict(X, return_std=True)[1].mean()
    far = committee.predict([10 * x for x in X], return_std=True)[1].mean()
    assert far > 3 * near


def test_the_default_member_is_the_default_regressor():
    X, y = data()
    committee = EDNNCommittee(n_members=2, random_state=0).fit(X, y)
    assert committee.estimator is None
    assert repr(committee.estimators_[0].set_params(random_state=None)) == "EDNNRegressor()"


def test_any_regressor_may_be_a_member():
    X, y = data()
    flat = X.reshape(20, -1)
    committee = EDNNCommittee(LinearRegression(), 3, random_state=0).fit(flat, y)
    assert committee.predict(flat).shape == (20,)
    assert committee.n_features_in_ == 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": None}, "requires y to be passed, but the target y is None"),
        ({"y": np.ones(19)}, "inconsistent numbers of samples"),
        ({"X": np.ones((20, 5, 4))}, "axis 0 has length 5, not a multiple of focus=2"),
        ({"X": []}, r"0 sample\(s\)"),
        ({"y": np.full(20, np.nan)}, "NaN"),
        ({"sample_weight": np.ones(3)}, "inconsistent numbers of samples"),
        ({"groups": np.ones(3)}, "inconsistent numbers of samples"),
        ({"groups": np.ones(20)}, "all samples are of one group"),
    ],
)
@pytest.mark.parametrize("already_fitted", [False, True])
def test_bad_input_leaves_the_committee_unchanged(change, words, already_fitted):
    X, y = data()
    committee = EDNNCommittee(MEMBER, 2, random_state=0)
    if already_fitted:
        committee.fit(X, y)
    given = {"X": X, "y": y} | change
    if given["X"] is not X and not len(given["X"]):
        given["y"] = []
    with left_as_it_was(committee), pytest.raises(ValueError, match=words):
        committee.fit(**given)


@pytest.mark.parametrize(
    ("name", "value"), [("n_members", 1), ("bootstrap", "yes"), ("estimator", 3), ("n_jobs", 0.5)]
)
def test_parameters_are_validated(name, value):
    X, y = data()
    with pytest.raises(ValueError, match=f"'{name}' parameter of EDNNCommittee"):
        EDNNCommittee(MEMBER).set_params(**{name: value}).fit(X, y)


def test_members_warn_once_of_one_thing():
    X = np.random.default_rng(0).normal(size=(30, 6, 6))
    base = EDNNRegressor(Ridge(), GridTiling(1, 4))
    with pytest.warns() as said:
        model = EDNNCommittee(base, n_members=4, random_state=0).fit(X, X.sum(axis=(1, 2)))
    assert [each.category for each in said] == [ExtensivityWarning]
    with pytest.warns() as said:
        model.predict(100 * X)
    assert [each.category for each in said] == [NoveltyWarning]
    assert len({estimator.input_range_.tobytes() for estimator in model.estimators_}) > 1
