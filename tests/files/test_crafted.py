"""No number in a file leads compiled code astray: each tree of each ensemble is looked at."""

import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.neighbors import KNeighborsRegressor, RadiusNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVR, NuSVR
from sklearn.tree import DecisionTreeRegressor

pytest.importorskip("skops")

from sk_ednn import EDNNRegressor, GridTiling
from sk_ednn.exceptions import ModelFileError
from sk_ednn.files import _container, load, save
from sk_ednn.solvers import BoostingSolver
from tests.files._craft import ESTIMATORS, crafted, members_of, parts_of, saved, zipped

X = np.random.default_rng(0).normal(size=(30, 4))
LEVELS = np.round(np.abs(X))
Y = np.sin(X).sum(axis=1)
TREE = DecisionTreeRegressor(max_depth=3)
TREES = {
    "a tree": TREE,
    "forest": RandomForestRegressor(2, max_depth=3),
    "extra trees": ExtraTreesRegressor(2, max_depth=3),
    "boosting": GradientBoostingRegressor(n_estimators=3),
    "histograms": HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=4),
    "bagging": BaggingRegressor(TREE, 2),
    "bagging of boosting": BaggingRegressor(GradientBoostingRegressor(n_estimators=2), 2),
    "votes": VotingRegressor([("a", TREE), ("b", GradientBoostingRegressor(n_estimators=2))]),
    "AdaBoost": AdaBoostRegressor(TREE, n_estimators=2),
    "isolation": IsolationForest(n_estimators=2),
    "behind an encoder": make_pipeline(OneHotEncoder(handle_unknown="ignore"), TREE),
}
OTHERS = {
    "support vectors": SVR(),
    "nu": NuSVR(),
    "neighbours": KNeighborsRegressor(2, algorithm="kd_tree"),
    "radius": RadiusNeighborsRegressor(2.0, algorithm="ball_tree"),
    "bagging of neighbours": BaggingRegressor(KNeighborsRegressor(2, algorithm="kd_tree"), 2),
}
ALL = TREES | OTHERS


def fields(name):
    return LEVELS if name == "behind an encoder" else X


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("ensembles"), {}

    def file(name):
        if name not in made:
            fit = BoostingSolver(n_stages=2)
            model = EDNNRegressor(ALL[name], GridTiling(1, 1), solver=fit, random_state=0)
            save(model.fit(fields(name), Y), folder / f"{name}.ednn")
            made[name] = folder / f"{name}.ednn"
        return made[name]

    return file


@pytest.mark.parametrize("name", ALL)
def test_what_is_read_predicts_as_what_was_fitted(name, files):
    model = load(files(name))
    totals = model.predict(fields(name))
    assert np.isfinite(totals).all()
    save(model, files(name).with_suffix(".again"))
    np.testing.assert_array_equal(
        load(files(name).with_suffix(".again")).predict(fields(name)), totals
    )


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("value", [-7, 0, 10**6])
def test_every_tree_is_checked(name, value, files, tmp_path):
    """Not the first alone: each array of nodes is changed in turn."""
    parts = parts_of(files(name))
    members = members_of(parts[ESTIMATORS])
    n_trees, totals = 0, load(files(name)).predict(fields(name))
    for member, content in members.items():
        nodes = np.load(io.BytesIO(content)) if member.endswith(".npy") else np.zeros(1)
        if nodes.dtype.names is None or len(nodes) == 1:
            continue
        n_trees += 1
        fields_of = {"left_child", "right_child", "left", "right"}
        fields_of |= {"feature", "feature_idx"} if value else set()
        for field in fields_of & set(nodes.dtype.names):
            changed = nodes.copy()
            changed[field][0] = np.array(value).astype(nodes.dtype[field])
            content = zipped(members | {member: saved(changed)})
            _container.write(tmp_path / "crafted.ednn", parts | {ESTIMATORS: content})
            try:
                model = load(tmp_path / "crafted.ednn")
            except ModelFileError as error:
                assert "crafted.ednn" in str(error) and "a tree" in str(error)
            else:  # votes are described twice, and read once
                assert name == "votes"
                np.testing.assert_array_equal(model.predict(fields(name)), totals)
                n_trees -= 1
                break
    assert n_trees >= {"a tree": 2, "behind an encoder": 2}.get(name, 4)


def outcomes(folder):
    """Load each file in another process, which a crash would end."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.files._craft", str(folder)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    lines = [line.split(" ", 1) for line in run.stdout.splitlines()]
    assert run.returncode == 0, (lines[-1:], run.stderr[-2000:])
    return dict(lines)


def check_crafted(name, files, folder, step):
    np.save(folder / "fields.npy", fields(name))
    whats = {}
    for number, (what, make) in enumerate(crafted(parts_of(files(name)))):
        if number % step == 0:
            whats[f"{number:05}.ednn"] = what
            _container.write(folder / f"{number:05}.ednn", make())
    result = outcomes(folder)
    assert result.keys() == whats.keys()
    wrong = {whats[k]: each for k, each in result.items() if each not in ("refused", "works")}
    assert wrong == {}
    counts = Counter(result.values())
    assert counts["refused"] > 0 and counts["works"] > 0


def test_crafted_files_never_crash(files, tmp_path):
    check_crafted("boosting", files, tmp_path, 41)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ALL)
def test_many_crafted_files_never_crash(name, files, tmp_path):
    check_crafted(name, files, tmp_path, 3)
