"""A function that follows the training of a `CountRegressor`, and may end it; its lines."""

import re
import threading

import numpy as np
import pytest

from sk_ednn.datasets import make_pictures

pytest.importorskip("torch")
pytest.importorskip("skorch")

from sk_ednn._utils.clocks import kept_clocks
from sk_ednn._utils.wording import about
from sk_ednn.images import CountRegressor
from sk_ednn.images._effort import passes_after
from sk_ednn.images._member import Member
from sk_ednn.images._progress import Progress, Remaining
from sk_ednn.images._training import Recipe, Trained


@pytest.fixture(scope="module")
def data():
    return make_pictures(16, (48, 48), random_state=0)


def fitted(data, callback, **params):
    model = CountRegressor(callback=callback, random_state=0, **{"max_epochs": 4, **params})
    return model.fit(data.pictures, data.totals)


class Clock:
    """A clock that advances by so many seconds each time it is read."""

    def __init__(self, pace):
        self.now, self.pace = 0.0, pace

    def __call__(self):
        self.now += self.pace
        return self.now


def test_no_time_of_a_callback_counts(data):
    """Recorded runs are paused there."""
    clock = Clock(1.0)

    def paused(row):
        clock.now += 1e6

    options = {"n_members": 1, "n_jobs": 1, "minutes": 1.0, "max_epochs": 1000}
    with kept_clocks(read=clock):
        again = fitted(data, paused, **options)
    clock.now = 0.0
    with kept_clocks(read=clock):
        once = fitted(data, lambda row: None, **options)
    assert again.history_ == once.history_
    assert len(once.history_[0]) > 5


@pytest.mark.parametrize(
    ("how", "n_members", "n_jobs"),
    [
        *((how, n, 1) for how in ("whole", "limit", "callback", "paused") for n in (1, 2)),
        ("limit", 3, 2),
        ("callback", 3, 2),
    ],
)
def test_a_fit_knows_the_minutes_of_its_trainings(data, how, n_members, n_jobs):
    """By one clock: a training that was stopped never needs less time than it took."""
    clock = Clock(0.1)

    def callback(row):
        clock.now += 1e6 if how == "paused" else 0.0
        return how == "callback" and row["progress"] > 0.2

    options = {"max_epochs": 8}
    if how == "limit":
        options = {"max_epochs": 1000, "minutes": 0.3 * -(-n_members // n_jobs)}
    with kept_clocks(read=clock):
        model = fitted(data, callback, n_members=n_members, n_jobs=n_jobs, **options)
    taken = [history[-1]["minutes"] for history in model.history_]
    assert max(taken) <= model.minutes_ <= sum(taken) < 100  # and not 1e6 s
    if n_jobs == 1:
        assert model.minutes_ == pytest.approx(sum(taken))
    assert model.minutes_needed_ >= model.minutes_
    # A limit is shared by trainings after each other, of which the slowest needs most.
    of_one = model.minutes_needed_ / -(-n_members // n_jobs)
    assert (of_one > 1.5 * max(taken)) == (how in ("limit", "callback"))


def test_the_time_before_a_fit_was_resumed_counts_and_that_between_does_not(data, tmp_path):
    clock, options = Clock(1.0), {"n_members": 1, "n_jobs": 1, "max_epochs": 8}

    def killed(row):
        if row["epoch"] >= 4:
            raise KeyboardInterrupt

    with kept_clocks(read=clock):
        whole = fitted(data, None, **options).minutes_
    path = tmp_path / "a.ckpt"
    clock.now = 0.0
    with kept_clocks(read=clock), pytest.raises(KeyboardInterrupt):
        fitted(data, killed, checkpoint=path, **options)
    clock.now += 1e6
    with kept_clocks(read=clock):
        resumed = fitted(data, None, checkpoint=path, **options)
    # At most an epoch is trained once more.
    assert 0.7 * whole < resumed.minutes_ < 1.4 * whole
    assert resumed.minutes_needed_ == resumed.minutes_


def test_the_time_that_is_left_is_that_of_all_networks(data):
    lines = []
    with kept_clocks(read=Clock(60.0)):
        fitted(data, None, verbose=lines.append, n_members=2, n_jobs=1)
    form = re.compile(
        r"network [12] of 2: (\d+) % of the training \((.+) minutes, about (.+) (min|h) left\)"
    )
    found = [match.groups() for match in map(form.match, lines) if match]
    assert [percent for percent, *_ in found] == ["25", "50", "75", "100"] * 2
    for k, (percent, minutes, left, unit) in enumerate(found):
        share, later = int(percent) / 100, 1 - k // 4
        # Each network then counts its pictures in all views, and maxima are counted once.
        own, joint = passes_after(Recipe(n_views=8), 1)
        assert own > 0 and joint > 0
        passes = 4 * (1 + later - share) + own * (1 + later) + joint
        expected = float(minutes) * passes / (4 * share)
        assert float(left) * {"min": 1, "h": 60}[unit] == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_and_lines_have_one_estimate_of_what_is_left(data, n_jobs):
    """With three networks, lines say which one they are of; the last is not silent."""
    lines, rows = [], []
    fitted(data, rows.append, verbose=lines.append, n_members=3, n_jobs=n_jobs)
    form = re.compile(r"network (\d) of 3: (\d+) % of .* minutes(?:, (about .*) left)?\)")
    said = [form.match(line).groups() for line in lines if form.match(line)]
    assert {int(member) for member, *_ in said} == {1 + k for k in range(0, 3, n_jobs)}
    left = {(1 + row["member"], round(100 * row["progress"])): row["minutes_left"] for row in rows}
    for member, percent, words in said:
        minutes = left[int(member), int(percent)]
        assert words == (about(60 * minutes) if minutes else None)


def test_the_time_of_a_fit_is_known_before(data):
    """More passes, networks and pixels take longer; a fit prints what is returned before."""

    def minutes(**params):
        model = CountRegressor(**{"max_epochs": 50, "n_members": 1, **params})
        return min(model.expected_minutes(data.pictures, data.totals).minutes for _ in range(3))

    assert minutes(max_epochs=500) > 3 * minutes()
    assert minutes(n_members=8) > 2 * minutes()
    assert minutes(reduction=4) < minutes()


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


@pytest.mark.parametrize(
    ("params", "heads"),
    [
        ({"n_members": 1}, []),
        ({"n_jobs": 1}, [f"network {k} of 2, which holds back its own pictures" for k in (1, 2)]),
        (
            {"n_jobs": 2},
            [
                "2 networks are trained side by side; each holds back its own pictures; the lines "
                "are of the first"
            ],
        ),
    ],
)
@pytest.mark.parametrize("minutes", [None, 60])
def test_lines_have_one_form_and_say_which_networks_they_are_of(data, params, heads, minutes):
    lines = []
    fitted(data, None, verbose=lines.append, minutes=minutes, **params)
    several = params.get("n_members", 2) > 1
    plan, lines = lines[:2], lines[2:]
    assert plan[0].startswith("the networks see every pixel: objects are near each other")
    assert plan[1].startswith(
        "all 4 passes over the pictures, and measuring errors, should take about "
    )
    assert lines.pop() == "training done: maxima are counted, and errors measured"
    if several:
        said = [line for line in lines if line not in heads]
        names = [f"network {k + 1} of 2: " for k in range(max(1, len(heads)))]
        assert all(line.startswith(tuple(names)) for line in said)
        lines = [re.sub(r"^network \d of \d: ", "", line) for line in lines]
    form = re.compile(
        r"(\d+) % of the training \([\d.e-]+ minutes(?:, about [\d.]+ \w+ left)?\): "
        r"off by \S+ of \S+ on \d+ pictures not seen \(their mean as a guess: [\d.]+\)"
    )
    limit = 30 if heads[1:] else 60  # of each network
    end = re.compile(rf"ended after [\d.e-]+ of {limit} minutes: every picture was seen 4 times")
    percents = [int(form.fullmatch(line)[1]) for line in lines if form.fullmatch(line)]
    shown = max(1, len(heads))
    assert percents == [25, 50, 75, 100] * shown
    assert [line for line in lines if line in heads] == heads
    ends = [line for line in lines if end.fullmatch(line)]
    assert len(ends) == (0 if minutes is None else shown)
    last = [line for line in lines if line.startswith("last step: the pictures are counted once")]
    assert len(last) == shown
    assert len(lines) == len(percents) + len(heads) + len(ends) + len(last)


@pytest.mark.parametrize(
    ("last", "limit", "ending", "said"),
    [
        ((100, 4.94), 6, "epochs",
         "ended after 4.9 of 6 minutes: every picture was seen 100 times"),
        ((100, 4.94), None, "epochs", None),
        ((80, 6.01), 6, "time", None),
        ((80, 5.99), 6, "time", None),
        ((80, 4.0), 6, "callback", None),  # who stopped it knows
        ((80, 4.0), 6, "error",
         "ended after 4 minutes: the error was least, 2.5, after 1.2 minutes; the weights of then "
         "are kept"),
        ((80, 4.0), None, "error",
         "ended after 4 minutes: the error was least, 2.5, after 1.2 minutes; the weights of then "
         "are kept"),
    ],
)  # fmt: skip
def test_a_training_that_ended_before_its_time_says_why(last, limit, ending, said):
    lines, events = [], (threading.Event(), threading.Event())
    recipe = Recipe(max_epochs=100, minutes=limit)
    progress = Progress(
        lines.append, events[0], 20.0, "", 3, 0, None, events[1], recipe, Remaining(1, 1)
    )
    rows = [(1, 0.1, 9.0), (20, 1.2, 2.5), (*last, 7.0)]
    names = ("epoch", "minutes", "error")
    history = [dict(zip(names, row, strict=True)) for row in rows]
    progress.end(Trained(None, history, ending=ending))
    assert lines == ([] if said is None else [said])


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("limit", [None, 2.0, 6.0, 600.0])
@pytest.mark.parametrize("pace", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("slow", [0.0, 0.3])  # in the first pass
def test_too_little_time_is_said_once_as_soon_as_it_is_known(slow, pace, limit, rounds):
    lines, events = [], (threading.Event(), threading.Event())
    recipe = Recipe(max_epochs=120, minutes=limit)
    progress = Progress(
        lines.append, events[0], 20.0, "", 3, 0, None, events[1], recipe, Remaining(1, 1), rounds
    )
    said_at = None
    for epoch in range(1, 121):
        minutes = slow + pace * epoch
        share = min(1.0, max(epoch / 120, 0.0 if limit is None else minutes / limit))
        progress(share, {"epoch": epoch, "minutes": minutes, "error": 9.0})
        if said_at is None and any("need about" in line for line in lines):
            said_at = share
        if share == 1:
            break
    said = [line for line in lines if "need about" in line]
    needed = slow + 120 * pace
    assert len(said) == (limit is not None and needed > 1.1 * limit)
    if said:
        numbers = [float(each) for each in re.findall(r"\d+(?:\.\d+)?", said[0])]
        assert numbers[0] == 120 and rounds * needed <= numbers[1] <= rounds * needed + 1
        assert numbers[2] == rounds * limit and abs(numbers[3] - (limit - slow) / pace) <= 1
        assert said_at <= max(0.1, (slow + 2 * pace) / limit + 1e-9)


@pytest.mark.parametrize(
    ("params", "callback", "ending"),
    [
        ({"max_epochs": 2}, None, "epochs"),
        ({"max_epochs": 2, "minutes": 600}, None, "epochs"),
        ({"max_epochs": 10**6, "minutes": 0.001}, None, "time"),
        # The clock ends the only pass before it is complete.
        ({"max_epochs": 1, "minutes": 1e-9}, None, "time"),
        ({"max_epochs": 10**6}, lambda row: True, "callback"),
        # An end that had come anyway was not asked for.
        ({"max_epochs": 1}, lambda row: True, "epochs"),
    ],
)
def test_a_training_knows_why_it_ended(data, params, callback, ending):
    model = fitted(data, callback, n_members=1, **params)
    assert model.endings_ == [ending]


def test_a_training_that_becomes_worse_ends_by_its_error(data, monkeypatch):
    """Errors of pictures held back that only grow."""
    errors = iter(np.arange(1, 1000) * 100.0)
    predict = Member.predict

    def worse(self, samples, *views):
        predicted = predict(self, samples, *views)
        return predicted if views else predicted + next(errors)

    monkeypatch.setattr(Member, "predict", worse)
    model = fitted(data, None, n_members=1, max_epochs=100, validation_fraction=0.5)
    assert model.endings_ == ["error"]
    assert model.history_[0][-1]["epoch"] < 100
