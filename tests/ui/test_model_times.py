"""Times on the cards of models: laws that hold on every machine, and no measured time."""

import json

import numpy as np
import pytest

from sk_ednn import GridTiling
from sk_ednn.runs import Run, RunFolder, record
from sk_ednn.runs._load import Load, load_of, load_of_fields, recorded_load
from sk_ednn.ui._model_cards import CARDS
from sk_ednn.ui._model_times import Pace, Time, expected, in_words, pace_of, probe, work_of

NAMES = [card.name for card in CARDS]
SMALL = load_of(100, 6400, 9, 2)


def times(name, load, **options):
    return expected(name, load, Pace(), **options)


# A choice compares fewer models where one of them would take too long.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "auto"])
@pytest.mark.parametrize("n_values", [None, 2])
def test_more_data_never_take_less_time(name, n_values):
    """More systems with tiles of the same numbers, and the same systems with more tiles."""
    for bigger in (
        lambda scale: load_of(50 * scale, 50 * 36 * scale, 9, n_values),
        lambda scale: load_of(500, 500 * scale, 9, n_values),
    ):
        result = [times(name, bigger(2**k)) for k in range(9)]
        for ends in ("low", "likely", "high"):
            values = [getattr(one, ends) for one in result]
            assert values == sorted(values), ends


@pytest.mark.parametrize("name", NAMES)
def test_a_range_contains_the_likely_time(name):
    for load in (SMALL, load_of(1000, 64_000, 25), load_of(20, 20, 4)):
        result = times(name, load)
        assert 0 < result.low <= result.likely <= result.high


def test_more_epochs_take_longer():
    for name in ("dense", "perceptron"):
        assert times(name, SMALL, epochs=10).likely < times(name, SMALL, epochs=1000).likely


def test_a_choice_takes_longer_than_the_model_that_it_makes():
    for load in (SMALL, load_of(300, 10_000, 9), load_of(1000, 640_000, 9, 2)):
        single = [times(name, load).likely for name in ("kernel", "quadratic", "cubic")]
        auto = times("auto", load)
        assert auto.high > max(single) and auto.likely > sorted(single)[1]
        # Only the quadratic one is compared if it is exact.
        assert work_of("auto", load).low > work_of("quadratic", load).likely
    many = load_of(10_000, 6_400_000, 441)
    assert times("auto", many) == times("dense", many)


def test_too_many_tiles_for_a_kernel_are_named():
    assert in_words(times("kernel", load_of(10_000, 640_000, 49))) == "too many different tiles"
    assert times("something else", SMALL) is None


def written(folder, load, seconds, model="quadratic", state="finished"):
    """Return a run that took so long, as the recorder writes it."""
    with record(folder, "fit", settings={"model": model}) as recorder:
        recorder.finish({"tiles": load.as_dict()})
    run = Run(recorder.folder)
    end = {"time": "2026-01-01T00:00:00.000Z", "state": state, "message": ""}
    described = json.loads((run.path / "run.json").read_text())
    described["started"] = end["time"]
    (run.path / "run.json").write_text(json.dumps(described))
    end["time"] = f"2026-01-01T00:{int(seconds // 60):02d}:{seconds % 60:06.3f}Z"
    (run.path / "status.jsonl").write_text(json.dumps(end) + "\n")
    used = {"time": end["time"], "cpu_s": seconds, "rss_bytes": 1}
    (run.path / "resources.jsonl").write_text(json.dumps(used) + "\n")
    return run


@pytest.mark.parametrize("model", ["quadratic", "boosting", "dense", "auto"])
@pytest.mark.parametrize("seconds", [0.5, 9.0, 1800.0])
def test_a_range_contains_what_a_run_took(tmp_path, model, seconds):
    """However the formula errs, and also where two equal runs took different times."""
    for share in (1.0, 0.7):
        written(tmp_path, SMALL, share * seconds, model)
    pace = pace_of(RunFolder(tmp_path).runs())
    assert len(pace.ratios[model]) == 2
    result = expected(model, SMALL, Pace(pace.speed, 1.0, pace.ratios))
    assert result.low <= 0.7 * seconds < seconds <= result.high
    # Another model is known by the machine alone, so its range is the wider one.
    other = "kernel" if model != "kernel" else "cubic"
    unknown = expected(other, SMALL, Pace(pace.speed, 1.0, pace.ratios))
    assert unknown.high / unknown.low >= 4 - 1e-9
    work = work_of(other, SMALL).likely * 0.85 * seconds / work_of(model, SMALL).likely
    assert np.isclose(unknown.likely, work)


def test_a_range_is_longer_on_a_machine_that_is_slow_or_busy():
    at_rest = expected("cubic", SMALL, Pace())
    for pace in (Pace(speed=3.0), Pace(wait=3.0)):
        assert np.isclose(expected("cubic", SMALL, pace).likely, 3 * at_rest.likely)


def test_runs_that_tell_nothing_are_left_out(tmp_path):
    for state in ("failed", "stopped"):
        written(tmp_path, SMALL, 3.0, state=state)
    odd = written(tmp_path, SMALL, 3.0)
    for tiles in (None, [], {"n_systems": -1}, {**SMALL.as_dict(), "n_tiles": "many"},
                  {**SMALL.as_dict(), "n_tiles": True},
                  {**SMALL.as_dict(), "n_numbers": 10**400}):  # fmt: skip
        (odd.path / "result.json").write_text(json.dumps({"tiles": tiles}))
        assert pace_of(RunFolder(tmp_path).runs()).ratios == {}
    assert recorded_load({"tiles": SMALL.as_dict()}) == SMALL
    (odd.path / "result.json").write_text(json.dumps({"tiles": SMALL.as_dict()}))
    described = json.loads((odd.path / "run.json").read_text())
    for model, epochs in (("dense", "many"), ("dense", -1), ("dense", 10**400), ([], None)):
        described["settings"] = {"model": model, "epochs": epochs}
        (odd.path / "run.json").write_text(json.dumps(described))
        assert pace_of(RunFolder(tmp_path).runs()).ratios == {}
    described["settings"] = {"model": "dense"}
    (odd.path / "run.json").write_text(json.dumps(described))
    (odd.path / "resources.jsonl").write_text(json.dumps({"cpu_s": "none"}) + "\n")
    assert pace_of(RunFolder(tmp_path).runs()).ratios["dense"][0] > 0  # by its duration


def test_a_probe_is_a_positive_pace():
    result = probe()
    assert result.speed > 0 and result.wait >= 1 and result.ratios == {}


def test_the_load_is_that_of_the_tiling():
    X = np.random.default_rng(0).integers(0, 2, (10, 6, 8))
    assert load_of_fields(X, GridTiling(2, 1), 2) == Load(10, 10 * 12, 16, 120)
    assert load_of_fields(X, GridTiling(1, 0), 2).n_distinct == 2


def test_words_never_promise_less_than_the_range():
    rng = np.random.default_rng(0)
    for low in 10 ** rng.uniform(-1, 4.5, 200):
        high = low * (1 + rng.random() * 5)
        words = in_words(Time(low, (low * high) ** 0.5, high)).split()
        if "days" in words:
            assert high >= 86400
            continue
        unit = {"seconds": 1, "minutes": 60, "hours": 3600}[words[-1]]
        numbers = [int(word) for word in words if word.isdecimal()]
        assert numbers[-1] * unit >= high * (1 - 1e-12)
        if len(numbers) == 2:
            assert numbers[0] * unit <= low
