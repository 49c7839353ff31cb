"""A `CountRegressor` that was killed resumes and ends with bitwise the same model."""

import numpy as np
import pytest

from sk_ednn._utils.clocks import kept_clocks
from sk_ednn.datasets import make_pictures
from sk_ednn.exceptions import TileModelError

pytest.importorskip("torch")
pytest.importorskip("skorch")

from sk_ednn.images import CountRegressor

EPOCHS = 8


@pytest.fixture(scope="module")
def data():
    return make_pictures(12, (40, 40), random_state=0)


class Killed(Exception):
    """Raised in the middle of a training."""


def killing(member, epoch):
    """Return a callback that ends a fit as a kill does."""

    def callback(row):
        if row["member"] == member and row["epoch"] >= epoch:
            raise Killed

    return callback


def model_of(path=None, **params):
    return CountRegressor(
        random_state=0, checkpoint=path, precision="float32", **{"max_epochs": EPOCHS, **params}
    )


@pytest.fixture(scope="module")
def uninterrupted(data):
    return model_of().fit(data.pictures, data.totals)


def assert_same(one, other, data):
    np.testing.assert_array_equal(one.predict(data.pictures), other.predict(data.pictures))
    np.testing.assert_array_equal(one.edges_, other.edges_)
    np.testing.assert_array_equal(one.held_back_["predicted"], other.held_back_["predicted"])
    for history, of_other in zip(one.history_, other.history_, strict=True):
        assert [_timeless(row) for row in history] == [_timeless(row) for row in of_other]


def _timeless(row):
    return {name: value for name, value in row.items() if name != "minutes"}


# Before and after statistics of normalisations are frozen, and in the second member.
@pytest.mark.parametrize(
    ("member", "epoch", "n_jobs"), [(0, 3, 2), (0, EPOCHS, None), (1, 2, None)]
)
def test_killed_fit_resumes_with_the_same_bits(
    data, uninterrupted, tmp_path, member, epoch, n_jobs
):
    path = tmp_path / "a.ckpt"
    with pytest.raises(Killed):
        model_of(path, callback=killing(member, epoch), n_jobs=n_jobs).fit(
            data.pictures, data.totals
        )
    rows = []
    resumed = model_of(path, callback=lambda row: rows.append(row) and None)
    resumed.fit(data.pictures, data.totals)
    assert_same(resumed, uninterrupted, data)
    resumed_at = min(row["epoch"] for row in rows if row["member"] == member)
    assert resumed_at >= epoch  # no epoch but the killed one is trained again


def test_finished_fit_is_not_trained_again(data, uninterrupted, tmp_path):
    path, rows = tmp_path / "a.ckpt", []
    model_of(path).fit(data.pictures, data.totals)
    again = model_of(path, callback=lambda row: rows.append(row) and None)
    again.fit(data.pictures, data.totals)
    assert rows == []
    assert_same(again, uninterrupted, data)
    assert not list(tmp_path.glob("*.lock"))


def test_fit_that_the_callback_ended_resumes(data, uninterrupted, tmp_path):
    path = str(tmp_path / "a.ckpt")
    model_of(path, callback=lambda row: row["epoch"] == 3).fit(data.pictures, data.totals)
    resumed = model_of(path).fit(data.pictures, data.totals)
    assert_same(resumed, uninterrupted, data)


def test_time_limit_contains_the_time_before_the_kill(data, tmp_path):
    now = [0.0]

    def clock():
        now[0] += 1.0
        return now[0]

    path = tmp_path / "a.ckpt"
    params = {"minutes": 4.0, "max_epochs": 1000, "n_members": 1}
    with kept_clocks(read=clock), pytest.raises(Killed):
        model_of(path, callback=killing(0, 4), **params).fit(data.pictures, data.totals)
    before = now[0]
    with kept_clocks(read=clock):
        resumed = model_of(path, **params).fit(data.pictures, data.totals)
    assert before > 10
    # Ticks of both, of which each took more than a few, but for those while progress is told.
    assert now[0] - len(resumed.history_[0]) < 4 * 60 + 40
    assert resumed.history_[0][-1]["minutes"] >= 4


def test_replayed_clock_makes_the_same_model_at_another_speed(data, tmp_path):
    """Also where the first fit was killed and resumed, and members are trained in threads."""
    now, tick = [0.0], [1.0]

    def clock():
        now[0] += tick[0]
        return now[0]

    params = {"minutes": 1.0, "max_epochs": 1000, "n_members": 2, "n_jobs": 2}
    path = tmp_path / "a.ckpt"
    with kept_clocks(read=clock), pytest.raises(Killed):
        model_of(path, callback=killing(0, 4), **params).fit(data.pictures, data.totals)
    with kept_clocks(read=clock) as first:
        whole = model_of(path, **params).fit(data.pictures, data.totals)
    readings = first.readings()
    assert sorted(readings) == ["member-0", "member-1"]
    tick[0] = 4.0
    with kept_clocks(read=clock):
        faster = model_of(**params).fit(data.pictures, data.totals)
    assert faster.history_[0][-1]["epoch"] != whole.history_[0][-1]["epoch"]  # the clock decides
    with kept_clocks(readings, read=clock) as second:
        again = model_of(**params).fit(data.pictures, data.totals)
    assert_same(again, whole, data)
    for name, values in second.readings().items():
        np.testing.assert_array_equal(values, readings[name])


@pytest.mark.parametrize("change", ["totals", "random_state", "max_epochs"])
def test_checkpoint_of_another_fit_is_rejected(data, tmp_path, change):
    path = tmp_path / "a.ckpt"
    model_of(path, max_epochs=1).fit(data.pictures, data.totals)
    totals = data.totals + 1 if change == "totals" else data.totals
    other = model_of(path, max_epochs=2 if change == "max_epochs" else 1)
    other.set_params(random_state=1 if change == "random_state" else 0)
    with pytest.raises(TileModelError, match="checkpoint of another fit"):
        other.fit(data.pictures, totals)
    assert not hasattr(other, "estimators_")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04\x95cos\nsystem\n."])
def test_other_files_are_rejected_and_stay(data, tmp_path, content):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(TileModelError, match="not a checkpoint"):
        model_of(path).fit(data.pictures, data.totals)
    assert path.read_bytes() == content


def test_two_fits_do_not_share_a_checkpoint(data, tmp_path):
    path = tmp_path / "a.ckpt"

    def other(row):
        with pytest.raises(TileModelError, match="is running"):
            model_of(path).fit(data.pictures, data.totals)
        return True

    model_of(path, callback=other, n_members=1).fit(data.pictures, data.totals)


def test_checkpoint_is_not_written_to_model_files(data, tmp_path):
    from sk_ednn.files import load, save

    model = model_of(tmp_path / "a.ckpt", max_epochs=1, n_members=1)
    save(model.fit(data.pictures, data.totals), tmp_path / "m.ednn")
    assert load(tmp_path / "m.ednn").checkpoint is None
