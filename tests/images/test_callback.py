"""A function that follows the training of a `CountRegressor`, and may end it."""

import threading

import numpy as np
import pytest

from sk_ednn.datasets import make_pictures

pytest.importorskip("torch")
pytest.importorskip("skorch")

from sk_ednn.images import CountRegressor


@pytest.fixture(scope="module")
def data():
    return make_pictures(16, (48, 48), random_state=0)


def fitted(data, callback, **params):
    model = CountRegressor(callback=callback, random_state=0, **{"max_epochs": 4, **params})
    return model.fit(data.pictures, data.totals)


def test_rows_are_those_of_the_history(data):
    rows, lock = [], threading.Lock()

    def callback(row):
        with lock:
            rows.append(row)

    followed = fitted(data, callback, n_jobs=2)
    for member, history in enumerate(followed.history_):
        of_member = [row for row in rows if row["member"] == member]
        assert [row["epoch"] for row in of_member] == [1, 2, 3, 4]
        assert [row["progress"] for row in of_member] == [0.25, 0.5, 0.75, 1.0]
        assert [row["error"] for row in of_member] == [row["error"] for row in history]
    alone = fitted(data, None)
    np.testing.assert_array_equal(followed.predict(data.pictures), alone.predict(data.pictures))


def test_true_ends_all_members_which_can_predict(data):
    ended = fitted(data, lambda row: row["epoch"] >= 1, max_epochs=1000, n_jobs=2)
    assert max(history[-1]["epoch"] for history in ended.history_) < 100  # far from the thousand
    assert np.isfinite(ended.predict(data.pictures)).all()
    assert np.isfinite(ended.error_)
