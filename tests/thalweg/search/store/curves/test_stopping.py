"""Who is stopped by expected improvement: the hopeless, not those whose beginnings mislead, nor the first two."""

from collections.abc import Callable
from typing import Literal

import optuna
import pytest
from optuna.trial import TrialState

from thalweg.search.store.curves import stopping
from thalweg.search.store.curves.stopping import ExpectedImprovement
from thalweg.search.store.early_stopping import make_pruner
from thalweg.search.store.records import JUDGED_FROM
from thalweg.study import Study

EVALUATIONS = tuple(range(100, 900, 100))
RUNGS = EVALUATIONS[:-1]
Curve = Callable[[float, float], float]


def falls(end: float, left: float) -> float:
    return end + 2 * left


def misleads(end: float, left: float) -> float:
    return end + (3 - 3 * end) * left


def run(
    ends: list[float],
    curve: Curve,
    *,
    pruner: ExpectedImprovement | None = None,
    direction: Literal["minimize", "maximize"] = "minimize",
    judged_from: int = 0,
    is_blind: bool = False,
) -> dict[int, int]:
    """Runs trials one after another, x = end or, blind, of no meaning; returns where each was stopped."""
    sign = 1 if direction == "minimize" else -1
    study = optuna.create_study(direction=direction, pruner=pruner or ExpectedImprovement(RUNGS, 800, seed=0))
    stopped: dict[int, int] = {}
    for number, end in enumerate(ends):
        study.enqueue_trial({"x": 4 * (number * 0.618 % 1) - 2 if is_blind else end})
        trial = study.ask()
        trial.suggest_float("x", -2, 2)
        trial.set_user_attr(JUDGED_FROM, judged_from)
        for samples in EVALUATIONS:
            trial.report(sign * curve(end, 1 - samples / 800), samples)
            if samples < 800 and trial.should_prune():
                stopped[number] = samples
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, sign * end)
    return stopped


BAD_LATER = [0.1, 0.6, 1.6, 1.9]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_hopeless_are_stopped_at_their_first_evaluations(
    direction: Literal["minimize", "maximize"],
) -> None:
    stopped = run(BAD_LATER, falls, direction=direction)
    assert stopped.keys() == {2, 3}
    assert max(stopped.values()) <= 200


def test_one_that_is_much_better_goes_on() -> None:
    assert run([1.5, 1.2, 0.9, -1.9], falls).get(3) is None


def test_the_first_two_run_to_the_end() -> None:
    assert run([-1.0, 1.9], falls) == {}
    assert stopping.NUM_WHOLE == 2


def test_where_beginnings_mislead_they_are_read_the_other_way_round() -> None:
    """Of the two whole trials the one that began worse ended better; the fifth begins worst and ends best."""
    stopped = run([1.6, 0.2, 0.0, 1.5, -0.3, 1.2], misleads, is_blind=True)
    assert 4 not in stopped
    assert {3, 5} <= stopped.keys()


@pytest.mark.slow
def test_one_in_six_runs_to_the_end_at_least() -> None:
    ends = [0.1, 0.6, *(1.5 + 0.01 * index for index in range(18))]
    stopped = run(ends, falls)
    assert set(range(20)) - stopped.keys() == {0, 1, 13, 19}
    assert stopping.MOST_STOPPED == 6


@pytest.mark.parametrize("choices", [(), (1,)])
def test_none_is_stopped_where_nothing_is_searched(choices: tuple[int, ...]) -> None:
    """A space may ask nothing, or only what has a single choice: then a new trial would be the same."""
    study = optuna.create_study(pruner=ExpectedImprovement(RUNGS, 800, seed=0))
    for number in range(4):
        trial = study.ask({"x": optuna.distributions.CategoricalDistribution(choices)} if choices else {})
        for samples in EVALUATIONS:
            trial.report(falls(0.1 * number, 1 - samples / 800), samples)
            assert not trial.should_prune()
        study.tell(trial, 0.1 * number)


def test_none_is_stopped_before_it_is_judged() -> None:
    stopped = run(BAD_LATER, falls, judged_from=500)
    assert stopped
    assert min(stopped.values()) >= 500


def test_none_is_stopped_off_its_rungs() -> None:
    stopped = run(BAD_LATER, falls, pruner=ExpectedImprovement((300, 600), 800, seed=0))
    assert stopped
    assert set(stopped.values()) <= {300, 600}


def test_more_patience_stops_less(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [0.6, 0.4, 0.9, 0.3, 0.7, 0.2]
    num = {}
    for patience in (1e-9, 1.0, 1e3):
        monkeypatch.setattr(stopping, "PATIENCE", patience)
        num[patience] = len(run(ends, falls))
    assert num[1e-9] <= num[1.0] <= num[1e3]
    assert num[1e-9] < num[1e3]


def test_beside_new_trials_that_are_drawn_evenly_fewer_stop() -> None:
    """Even ones lie anywhere in [-2, 2], and so promise less than the best point, at its lower end."""
    whole = [1.0, 0.4, 0.7, -0.2]
    sure, even = (
        {
            end
            for end in (-0.6, -0.3, 0.0, 0.3)
            if 4 in run([*whole, end], falls, pruner=ExpectedImprovement(RUNGS, 800, seed=0, even=is_even))
        }
        for is_even in (False, True)
    )
    assert even < sure


def test_a_study_stops_at_each_evaluation_from_its_first_rung_on() -> None:
    asked = Study(metric="loss", mode="min", samples=800, sampler="curves", scheduler="expected_improvement")
    assert asked.rungs == RUNGS
    assert asked.vary(min_samples=250).rungs == (300, 400, 500, 600, 700)
    pruner = make_pruner(asked)
    assert isinstance(pruner, ExpectedImprovement)
    assert not pruner._even
    for other in ({"sampler": "random"}, {"sampler": "gp_tpe"}, {"at_most": {"other": 1.0}}):
        drawn = make_pruner(asked.vary(**other))
        assert isinstance(drawn, ExpectedImprovement)
        assert drawn._even
