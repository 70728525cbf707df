"""Trials side by side on terminals of several widths."""

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.knob_differences import ABSENT
from thalweg.analysis.side_by_side.trials_compared import compare_trials
from thalweg.console.comparisons.cells import clipped, fitted, setting
from thalweg.console.comparisons.trials_view import show_trials
from thalweg.contract import Metric
from thalweg.search.store.records import StudyRecord, TrialRecord

SKILL = Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="a skill")
Shown = Callable[..., list[str]]


@pytest.fixture
def shown(
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    page: Callable[..., tuple[Console, StringIO]],
    tmp_path: Path,
) -> Shown:
    """Returns the lines of trials by their changes; each has a depth of its own."""

    def shown(
        *changes: dict[str, Any], width: int = 100, code_changes: tuple[int, ...] = (), **more: Any
    ) -> list[str]:
        trials = [
            make_trial(number, **{"config": {"depth": number}, "metrics": {}, **each})
            for number, each in enumerate(changes)
        ]
        accepted = tuple({"from_trial": number} for number in code_changes)
        record = replace(make_record(*trials), metrics=(SKILL,), code_changes=accepted)
        sides = [
            Side(study=record, folder=tmp_path, trial=trial, label=f"trial {trial.number}")
            for trial in trials
        ]
        console, text = page(width)
        show_trials(compare_trials(sides, tmp_path, **more), console)
        return text.getvalue().splitlines()

    return shown


def _words(lines: list[str], first: str) -> list[list[str]]:
    return [line.split() for line in lines if line.startswith(first)]


def test_columns_go_on_below_where_the_line_is_too_short(shown: Shown) -> None:
    lines = shown(*({"value": 0.1 * number} for number in range(8)))
    assert max(map(len, lines[:-2])) <= 100 and "\u2026" not in "".join(lines)
    assert _words(lines, "depth") == [["depth", *map(str, range(8))]]
    first, *others = _words(lines, "skill  ")
    assert first[:6] == ["skill", "1", "0.0000", "0.1000", "+0.1000", "better"] and others
    assert sum(line.count("better") for line in lines) == 7


def test_a_long_curve_is_told_at_eight_evaluations_with_the_last(shown: Shown) -> None:
    curve = tuple((10 * point, point / 100) for point in range(1, 41))
    lines = shown({"curve": curve}, {"curve": curve[:20]})
    start = next(place for place, line in enumerate(lines) if line.startswith("skill at samples"))
    rows = [line.split() for line in lines[start + 1 : start + 9]]
    assert [row[0] for row in rows] == ["50", "100", "150", "200", "250", "300", "350", "400"]
    assert rows[-1] == ["400", "0.4000", "-"]


def test_values_of_settings_are_told_apart() -> None:
    values: list[Any] = [None, ABSENT, [], "", True, 1e-4]
    assert list(map(setting, values)) == ["none", "-", "[]", "''", "True", "0.0001"]
    assert setting([{"name": "rain", "low": None}, 2]) == "[name=rain low=none, 2]"
    assert clipped("abcdefghij", 8) == "abcde..." and clipped("abcdefgh", 8) == "abcdefgh"


def test_numbers_that_differ_in_a_late_digit_are_told_apart(shown: Shown) -> None:
    text = "\n".join(shown({"config": {"lr": 0.03}}, {"config": {"lr": 0.030000001}}))
    assert "0.030000001" in text


def test_a_value_that_is_too_long_is_cut(shown: Shown) -> None:
    lines = shown({"config": {"bands": ["B02"] * 40}}, {"config": {"bands": ["B03"] * 40}}, width=80)
    row = next(line for line in lines if line.startswith("bands"))
    assert len(row.rstrip()) <= 80 and row.count("...") == 2


def test_configurations_alone_have_no_numbers(shown: Shown) -> None:
    text = "\n".join(shown({"value": 0.1}, {"value": 0.2}, numbers=False))
    assert "depth" in text and "0.2000" not in text and "settings alone" in text


def test_trials_that_differ_in_the_seed_alone_are_said_to(shown: Shown) -> None:
    text = "\n".join(shown({"config": {"seed": 1}}, {"config": {"seed": 2}}))
    assert "the same configuration but for the seed: the difference is what seeds make" in text


def test_a_change_of_code_between_trials_is_told(shown: Shown) -> None:
    told = "the code of the family or the space changed between them"
    assert told in shown({}, {}, code_changes=(1,))
    assert told not in shown({}, {}, code_changes=(2,)) and told not in shown({}, {}, code_changes=(0,))


def test_brackets_are_no_markup(page: Callable[..., tuple[Console, StringIO]]) -> None:
    console, text = page(80)
    console.print(fitted(["[b]"], ["[red]"], [["modalities[0].unit", "[/]"]], 80))
    assert text.getvalue().split() == ["[b]", "[red]", "modalities[0].unit", "[/]"]
