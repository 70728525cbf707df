"""Trials grouped by a parameter."""

import statistics
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from thalweg.analysis import groups, leaderboard
from thalweg.errors import StudyError
from thalweg.search.records import StudyRecord, TrialRecord

VALUES = {"add": [0.5, 0.7, 0.9], "concat": [0.6, 0.9, 0.9], "gated": [0.1]}


@pytest.fixture
def record(make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]) -> StudyRecord:
    """Three fusions with several seeds, one failed trial and one pruned trial."""
    trials: list[TrialRecord] = []
    for fusion, values in VALUES.items():
        for seed, value in enumerate(values):
            metrics = {"skill": value, "skill_rain": value / 2, "cost/num_parameters": 1000.0 * (seed + 1)}
            config = {"model": {"fusion": fusion}, "seed": seed}
            params = {"fusion": fusion, "seed": seed}
            trials.append(make_trial(len(trials), value, params=params, metrics=metrics, config=config))
    known: dict[str, Any] = {
        "params": {"fusion": "add", "seed": 0},
        "config": {"model": {"fusion": "add"}, "seed": 0},
    }
    trials.append(make_trial(7, 0.99, status="pruned", **known))
    return make_record(*trials, make_trial(8, None, status="failed", **known))


def test_groups_hold_complete_trials_only_and_the_best_mean_comes_first(record: StudyRecord) -> None:
    found = groups.groups(record, ["fusion"])
    assert [group.key for group in found] == [("concat",), ("add",), ("gated",)]
    for group in found:
        values = VALUES[group.key[0]]
        assert sorted(group.values) == values
        assert group.mean == pytest.approx(sum(values) / len(values))
        assert group.spread == (pytest.approx(statistics.stdev(values)) if len(values) > 1 else None)


def test_the_smallest_mean_comes_first_where_small_is_better(
    record: StudyRecord, make_record: Callable[..., StudyRecord]
) -> None:
    found = groups.groups(make_record(*record.trials, mode="min"), ["fusion"])
    assert [group.key[0] for group in found] == ["gated", "add", "concat"]


def test_a_knob_of_the_configuration_groups_too(record: StudyRecord) -> None:
    by_knob, by_param = groups.groups(record, ["model.fusion"]), groups.groups(record, ["fusion"])
    assert [group.trials for group in by_knob] == [group.trials for group in by_param]
    assert len(groups.groups(record, ["model.fusion", "seed"])) == 7


def test_the_last_word_of_a_knob_is_enough_unless_two_end_in_it(
    make_trial: Callable[..., TrialRecord], make_record: Callable[..., StudyRecord]
) -> None:
    config = {"optimization": {"lr": 0.1}, "embedder": {"depth": 2}, "projector": {"depth": 3}}
    record = make_record(make_trial(0, 0.5, params={"seed": 0}, config=config))
    assert [group.key for group in groups.groups(record, ["lr"])] == [("0.1",)]
    with pytest.raises(StudyError, match=r"got 'depth'; try one of embedder\.depth, projector\.depth"):
        groups.groups(record, ["depth"])


def test_what_was_not_searched_is_refused_with_what_was(record: StudyRecord) -> None:
    with pytest.raises(StudyError, match=r"got 'fusoin'; 'rivers' searched fusion, seed"):
        groups.groups(record, ["fusoin"])


def test_a_study_without_a_complete_trial_is_refused(make_record: Callable[..., StudyRecord]) -> None:
    with pytest.raises(StudyError, match="complete trials to be grouped"):
        groups.groups(make_record(), ["fusion"])


def test_the_table_shows_mean_spread_and_cost(
    record: StudyRecord, page: Callable[..., tuple[Console, StringIO]]
) -> None:
    console, text = page(120)
    leaderboard.show(leaderboard.Leaderboard(record=record, baselines={}), console, ["fusion"])
    lines = [line.split() for line in text.getvalue().splitlines() if line.strip()]
    rows: dict[str, list[Any]] = {line[0]: line[1:] for line in lines}
    assert rows["fusion"] == ["trials", "stopped", "skill", "parameters", "highest", "lowest"]
    assert rows["add"] == ["3", "2", "0.7000", "+-", "0.2000", "2,000", "0.9000", "0.5000"]
    assert rows["gated"] == ["1", "0", "0.1000", "1,000", "0.1000", "0.1000"]
    assert "stopped, and in no mean: 2 trials pruned or failed" in text.getvalue()


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_was_only_ever_stopped_comes_last_and_without_a_mean(
    record: StudyRecord,
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    page: Callable[..., tuple[Console, StringIO]],
    mode: str,
) -> None:
    stopped = make_trial(9, 0.6, status="pruned", params={"fusion": "matmul", "seed": 0})
    with_stopped = make_record(*record.trials, stopped, mode=mode)
    *_, last = groups.groups(with_stopped, ["fusion"])
    assert (last.key, last.trials, last.num_stopped, last.mean) == (("matmul",), (), 1, None)
    console, text = page(120)
    console.print(groups.draw(with_stopped, ["fusion"], [], 120))
    assert text.getvalue().splitlines()[-1].split() == ["matmul", "0", "1", "-", "-", "-", "-"]


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_a_narrow_terminal_leaves_columns_out_instead_of_cutting_them(
    record: StudyRecord, page: Callable[..., tuple[Console, StringIO]], width: int
) -> None:
    console, text = page(width)
    console.print(groups.draw(record, ["fusion", "model.fusion"], ["skill_rain"], width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 4
    assert "\u2026" not in text.getvalue()
    assert ("skill_rain" in lines[0]) == (width == 120)
