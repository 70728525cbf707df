"""Groups of trials as a table."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from thalweg.analysis.groups import groups
from thalweg.analysis.leaderboard import Leaderboard
from thalweg.console.board import show
from thalweg.console.group_table import render
from thalweg.search.store.records import StudyRecord, TrialRecord


def test_the_table_shows_mean_spread_and_cost(
    fusions: StudyRecord, page: Callable[..., tuple[Console, StringIO]]
) -> None:
    console, text = page(120)
    show(Leaderboard(record=fusions, baselines={}), console, ["fusion"])
    lines = [line.split() for line in text.getvalue().splitlines() if line.strip()]
    rows: dict[str, list[Any]] = {line[0]: line[1:] for line in lines}
    columns = ["trials", "stopped", "skill", "paired", "difference", "parameters", "highest", "lowest"]
    assert rows["fusion"] == columns
    difference = ["-0.1000", "[-0.3484,", "+0.1484]"]  # of .5, .7, .9 from .6, .9, .9: t = 4.303, s = .1
    assert rows["add"] == ["3", "2", "0.7000", "+-", "0.2000", *difference, "2,000", "0.9000", "0.5000"]
    assert rows["gated"] == ["1", "0", "0.1000", "1,000", "0.1000", "0.1000"]
    words = " ".join(text.getvalue().split())
    assert "stopped, and in no mean: 2 trials pruned or failed" in words
    assert "difference from concat over what both were tried with" in words
    assert "one that holds 0 shows no difference: none differs" in words


@pytest.mark.parametrize("mode", ["min", "max"])
def test_what_was_only_ever_stopped_comes_last_and_without_a_mean(
    fusions: StudyRecord,
    make_trial: Callable[..., TrialRecord],
    make_record: Callable[..., StudyRecord],
    page: Callable[..., tuple[Console, StringIO]],
    mode: str,
) -> None:
    stopped = make_trial(9, 0.6, status="pruned", params={"fusion": "matmul", "seed": 0})
    with_stopped = make_record(*fusions.trials, stopped, mode=mode)
    *_, last = groups(with_stopped, ["fusion"])
    assert (last.key, last.trials, last.num_stopped, last.mean) == (("matmul",), (), 1, None)
    console, text = page(120)
    console.print(render(with_stopped, ["fusion"], [], 120))
    assert text.getvalue().splitlines()[-1].split() == ["matmul", "0", "1", "-", "-", "-", "-"]


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_a_narrow_terminal_leaves_columns_out_instead_of_cutting_them(
    fusions: StudyRecord, page: Callable[..., tuple[Console, StringIO]], width: int
) -> None:
    console, text = page(width)
    console.print(render(fusions, ["fusion", "model.fusion"], ["skill_rain"], width))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 4
    assert "\u2026" not in text.getvalue()
    assert ("skill_rain" in lines[0]) == (width == 120)
