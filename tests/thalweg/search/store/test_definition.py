"""Which search a study goes on with: the one that it began with, unless its space names another."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from kept import evaluated

from thalweg.errors import StudyError
from thalweg.search.space import Space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal

Make = Callable[..., Space]
Open = Callable[..., Ledger]

EARLIER = {"sampler": "tpe", "scheduler": "successive_halving"}


def run_trials(ledger: Ledger, count: int, *, close: bool = False) -> list[Mapping[str, Any]]:
    """Runs trials one after another, each to its end; returns their parameters."""
    params = []
    for _ in range(count):
        proposal = ledger.ask()
        assert isinstance(proposal, Proposal)
        for samples in ledger.space.study.evaluations:
            ledger.report(proposal.number, evaluated(samples=samples, value=abs(proposal.params["x"])))
        ledger.complete(proposal.number)
        params.append(proposal.params)
    if close:
        ledger.close()
    return params


def test_a_study_goes_on_with_the_search_that_it_began_with(make_space: Make, open_ledger: Open) -> None:
    """Its space names neither sampler nor scheduler, and an earlier version had other defaults."""
    run_trials(open_ledger(make_space(**EARLIER)), 1, close=True)
    ledger = open_ledger(make_space())
    study = ledger.space.study
    assert (study.sampler, study.scheduler) == ("tpe", "successive_halving")
    assert ledger.read().definition["study"]["sampler"] == "tpe"
    assert ledger.notes == (
        "the study goes on with the search that it began with: sampler tpe, scheduler successive_halving; name another "
        "in its space",
    )
    assert open_ledger(make_space(), "new").space.study.sampler == make_space().study.sampler != "tpe"


def test_a_search_that_the_space_names_is_heard(make_space: Make, open_ledger: Open) -> None:
    run_trials(open_ledger(make_space(**EARLIER)), 1, close=True)
    ledger = open_ledger(make_space(sampler="gp_tpe"))
    assert (ledger.space.study.sampler, ledger.space.study.scheduler) == ("gp_tpe", "successive_halving")
    ledger.close()
    again = open_ledger(make_space().with_settings(num_trials=3))
    assert (again.space.study.sampler, again.space.study.num_trials) == ("gp_tpe", 3)


def test_what_asks_for_a_scheduler_changes_it_in_a_study_under_way(
    make_space: Make, open_ledger: Open
) -> None:
    """Its space names none; further objectives take none, and soft ranking one of ranks."""
    run_trials(open_ledger(make_space()), 1, close=True)
    ledger = open_ledger(make_space(soft_ranking=True))
    assert (ledger.space.study.sampler, ledger.space.study.scheduler) == ("curves", "guarded_halving")
    ledger.close()
    ledger = open_ledger(make_space(also={"cost/num_parameters": "min"}))
    assert (ledger.space.study.sampler, ledger.space.study.scheduler) == ("curves", "none")
    run_trials(ledger, 1)


def test_a_study_of_an_earlier_version_proposes_what_it_would_have(
    make_space: Make, open_ledger: Open
) -> None:
    whole, parts = open_ledger(make_space(**EARLIER), "whole"), open_ledger(make_space(**EARLIER), "parts")
    asked = run_trials(whole, 14), run_trials(parts, 12)
    parts.close()
    assert asked[1] + run_trials(open_ledger(make_space(), "parts"), 2) == asked[0]


def test_objectives_and_constraints_may_change_between_launches(make_space: Make, open_ledger: Open) -> None:
    also = {"cost/num_parameters": "min"}
    run_trials(open_ledger(make_space(sampler="tpe")), 2, close=True)
    ledger = open_ledger(make_space(sampler="tpe", also=also, at_least={"skill": 0.5}))
    assert len(ledger.trials()) == 2
    assert ledger.read().also == also
    assert str(ledger.read().constraints) == "skill at least 0.5"
    run_trials(ledger, 1, close=True)
    assert not open_ledger(make_space(sampler="tpe")).read().also


def test_a_sampler_that_cannot_follow_new_objectives_is_refused(make_space: Make, open_ledger: Open) -> None:
    run_trials(open_ledger(make_space(sampler="cmaes")), 1, close=True)
    with pytest.raises(StudyError, match=r"sampler='cmaes' follows one objective .* name another sampler"):
        open_ledger(make_space(at_least={"skill": 0.5}))
    assert open_ledger(make_space(sampler="tpe", at_least={"skill": 0.5})).num_open()


def test_a_study_without_these_settings_opens(make_space: Make, open_ledger: Open) -> None:
    """An earlier version recorded none of them."""
    ledger = open_ledger(make_space(sampler="tpe"))
    run_trials(ledger, 1)
    stored = ledger.read().definition
    kept = {
        name: value for name, value in stored["study"].items() if name not in ("also", "at_most", "at_least")
    }
    ledger._study.set_user_attr("thalweg", {**stored, "study": kept})
    assert not ledger.read().also and not ledger.read().constraints
    ledger.close()
    again = open_ledger(make_space(sampler="tpe"))
    assert len(again.trials()) == 1 and again.read().best() is not None
