"""Spaces whose configurations are refused, whose branches never occur, and those that are as they should be."""

import sys
from collections.abc import Callable

from families.knots.config import PRESETS, Knots
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Judgement
from thalweg.search.checks.validity import judge_validity
from thalweg.study import Trial, grid

Examine = Callable[..., Examined]
GRID = grid(loss=["squared", "hinge"], depth=[1, 2])


def judged(examined: Examined) -> Judgement:
    return judge_validity(examined.space, *examined.drawn)


def fine(trial: Trial) -> Knots:
    """A space without faults, one of whose branches only raises."""
    depth = trial.suggest_categorical("depth", [1, 2])
    if depth > 2:
        raise ValueError(depth)
    dropout = trial.suggest_float("dropout", 0.1, 0.5) if depth == 2 else 0.0
    return PRESETS["tiny"].vary(depth=depth, dropout=dropout)


def test_a_space_without_faults_passes(examine: Examine) -> None:
    found = judged(examine(fine))
    assert (found.mark, found.told) == ("passed", "256 of 256 random configurations are valid")


def test_refused_configurations_and_options_are_counted(examine: Examine) -> None:
    def space(trial: Trial) -> Knots:
        margin = trial.suggest_float("margin", 0.1, 0.5)
        loss = trial.suggest_categorical("loss", ["squared", "hinge", "huber"])
        return PRESETS["tiny"].vary(margin=margin, loss=loss)

    found = judged(examine(space))
    (fault,) = found.faults
    assert f"got {found.numbers['refused']} of 256 random configurations that are refused" in fault
    assert "loss='huber'" in fault and "input should be" in fault.lower()
    assert found.warnings == ("no valid configuration has loss = huber: leave such options out",)


def test_branches_that_never_occur_are_named(examine: Examine) -> None:
    def space(trial: Trial) -> Knots:
        depth = trial.suggest_categorical("depth", [1, 2])
        changes = {}
        if depth > 2:
            changes["dropout"] = trial.suggest_float("drop", 0.1, 0.5)
        return PRESETS["tiny"].vary(depth=depth, **changes)

    asked, branch = judged(examine(space)).warnings[-2:]
    assert "drop" in asked
    assert branch.startswith("a branch never occurs, test_validity.py:")
    assert branch.endswith('changes["dropout"] = trial.suggest_float("drop", 0.1, 0.5)')


def test_the_cells_of_a_grid_are_judged(examine: Examine) -> None:
    def space(trial: Trial) -> Knots:
        cell = GRID.ask(trial)
        return PRESETS["tiny"].vary(loss=cell["loss"])

    found = judged(examine(space, first_trials=GRID.cells, num_trials=4))
    assert found.told == "4 of 4 cells of the grid are valid"
    assert "got depth, which leave" in found.faults[0]


def test_tracing_leaves_the_trace_of_a_debugger_as_it_was(examine: Examine) -> None:
    before = sys.gettrace()
    assert judged(examine(fine)).mark == "passed"
    assert sys.gettrace() is before
