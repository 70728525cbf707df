"""What costs too much is not trained, and no rival of others."""

from collections.abc import Callable, Mapping
from typing import Any

from kept import evaluated

from thalweg.errors import ConstraintError
from thalweg.search.controller import MAX_TOO_LARGE, StudyController
from thalweg.search.space import Space
from thalweg.search.store.multi_objective.admission import lacking
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal, Rejection

SIZE = "cost/num_parameters"
SECONDS = "cost/epoch_s"


def size(config: Any) -> Mapping[str, float]:
    """The toy has a parameter for each unit of its width."""
    return {SIZE: float(config.width)}


def open_bounded(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger], **settings: Any
) -> Ledger:
    """Opens a study that takes no model wider than 8."""
    settings = {"sampler": "random", "at_most": {SIZE: 8}, **settings}
    ledger = open_ledger(make_space(**settings))
    ledger.judge_by(lambda config: (), size)
    return ledger


def test_a_configuration_over_a_bound_is_recorded_and_not_trained(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_bounded(
        make_space, open_ledger, scheduler="none", first_trials=({"width": 60}, {"width": 8})
    )
    refused = ledger.ask()
    assert isinstance(refused, Rejection) and isinstance(refused.error, ConstraintError)
    assert f"got {SIZE} 60 (at most 8); it is not trained" in str(refused.error)
    assert isinstance(ledger.ask(), Proposal)
    [trial, _] = ledger.trials()
    assert (trial.ended_as, trial.metrics, trial.config["width"]) == ("infeasible", {SIZE: 60.0}, 60)


def test_a_search_goes_on_after_trials_that_are_too_large(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    first = tuple({"width": width} for width in (64, 63, 62, 61, 4))
    ledger = open_bounded(make_space, open_ledger, scheduler="none", first_trials=first)
    controller = StudyController(ledger, lambda event: None, num_lanes=1)
    proposal = controller.propose()
    assert isinstance(proposal, Proposal) and proposal.params["width"] == 4


def test_a_search_stops_if_all_trials_are_too_large(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_bounded(make_space, open_ledger, scheduler="none", num_trials=99, at_most={SIZE: 0.5})
    controller = StudyController(ledger, lambda event: None, num_lanes=1)
    assert controller.propose() == "finished"
    assert isinstance(controller.failure, ConstraintError)
    assert len(ledger.trials()) == MAX_TOO_LARGE


def report(samples: int, value: float, seconds: float) -> Any:
    """An evaluation of a trial that takes so many seconds per pass."""
    return evaluated(samples=samples, value=value, costs={"epoch_s": seconds}, final=samples == 800)


def test_a_trial_that_costs_too_much_stops_no_other(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    stopped = {}
    for name, seconds in (("dear", 9.0), ("cheap", 1.0)):
        space = make_space(sampler="random", scheduler="successive_halving", at_most={SECONDS: 2.0})
        ledger = open_ledger(space, name)
        rung = space.study.rungs[0]
        rival, trial = ledger.ask(), ledger.ask()
        for point in (point for point in space.study.evaluations if point <= rung):
            ledger.report(rival.number, report(point, 0.1, seconds))
            ledger.report(trial.number, report(point, 0.5, 1.0))
        stopped[name] = ledger.should_stop(trial.number)
    assert stopped == {"dear": False, "cheap": True}


def test_the_first_complete_trial_says_what_it_lacks(
    make_space: Callable[..., Space], open_ledger: Callable[..., Ledger]
) -> None:
    ledger = open_ledger(make_space(sampler="random", scheduler="none", also={SECONDS: "min"}))
    assert list(lacking(ledger.read())) == []
    for _ in range(2):
        trial = ledger.ask()
        ledger.report(trial.number, evaluated(samples=800, value=0.5, final=True))
        ledger.complete(trial.number)
        told = list(lacking(ledger.read()))
        assert len(told) == (trial.number == 0)
        assert all(f"trial 0 has no finite value of {SECONDS}" in text for text in told)
