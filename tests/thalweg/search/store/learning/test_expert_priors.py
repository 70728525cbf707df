"""Priors: where a search starts, how they fade, and what a wrong one costs."""

import math
import statistics
from collections.abc import Callable
from random import Random
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from thalweg.errors import ConfigError
from thalweg.search.space import Space, load_space, probe
from thalweg.search.store.learning.expert_priors import drawn, share_from_prior
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.samplers import make_sampler
from thalweg.study import Prior, Study

Make = Callable[..., Space]
Open = Callable[..., Ledger]
BEST = 10**-2.6
Confidence = Literal["low", "medium", "high"]


def searched(num_trials: int, seed: int = 0, **settings: Any) -> optuna.Study:
    """Searches a valley of a rate, a choice and a number that does nothing."""
    given = {"metric": "loss", "mode": "min", "samples": 100, "scheduler": "none", "num_trials": num_trials}
    study = optuna.create_study(sampler=make_sampler(Study(**given | settings, seed=seed)))
    study.optimize(valley, n_trials=num_trials)
    return study


def valley(trial: optuna.Trial) -> float:
    rate = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ("a", "b", "c", "d"))
    trial.suggest_int("dead", 1, 8)
    return (math.log10(rate) - math.log10(BEST)) ** 2 + (0.0 if kind == "c" else 1.0)


RIGHT = {"lr": Prior(3e-3, "high"), "kind": Prior("c", "high")}
WRONG = {"lr": Prior(1e-5, "high"), "kind": Prior("a", "high")}


@pytest.mark.slow
def test_the_first_trial_is_the_guess_and_others_lie_around_it() -> None:
    study = searched(5, priors=RIGHT)
    assert study.trials[0].params["lr"] == pytest.approx(3e-3) and study.trials[0].params["kind"] == "c"
    rates = [searched(3, seed=seed, priors=RIGHT).trials[1].params["lr"] for seed in range(12)]
    assert sum(3e-4 < rate < 3e-2 for rate in rates) >= 8
    free = [searched(3, seed=seed).trials[1].params["lr"] for seed in range(12)]
    assert sum(3e-4 < rate < 3e-2 for rate in free) < 8


def test_the_guess_comes_after_what_is_tried_first(make_space: Make, open_ledger: Open) -> None:
    ledger = open_ledger(make_space(first_trials=({"x": 0.1},), priors={"x": Prior(0.25)}))
    params = [
        proposal.params["x"] for proposal in (ledger.ask(), ledger.ask()) if isinstance(proposal, Proposal)
    ]
    assert params == [0.1, 0.25]


@pytest.mark.slow
def test_a_right_prior_helps_a_short_search_and_a_wrong_one_is_overcome() -> None:
    def best(num_trials: int, **settings: Any) -> float:
        return statistics.median(searched(num_trials, seed, **settings).best_value for seed in range(5))

    assert best(6, priors=RIGHT) < 0.3 * best(6)
    assert best(40, priors=WRONG) < 0.05


def test_the_share_halves_every_five_trials() -> None:
    assert [share_from_prior(place) for place in (0, 5, 10, 20)] == [1.0, 0.5, 0.25, 0.0625]
    assert sum(map(share_from_prior, range(200))) == pytest.approx(7.7, abs=0.1)


@given(
    st.sampled_from(
        [
            FloatDistribution(-2.0, 3.0),
            FloatDistribution(1e-6, 1.0, log=True),
            FloatDistribution(0.0, 1.0, step=0.25),
            IntDistribution(1, 512, log=True),
            IntDistribution(4, 40, step=4),
            FloatDistribution(2.0, 2.0),
        ]
    ),
    st.floats(-10, 1000),
    st.sampled_from(["low", "medium", "high"]),
    st.integers(0, 50),
    st.booleans(),
)
def test_every_draw_is_one_of_the_range(
    distribution: BaseDistribution, value: float, confidence: Confidence, seed: int, exactly: bool
) -> None:
    found = drawn(Prior(value, confidence), distribution, Random(seed), exactly=exactly)
    assert distribution._contains(distribution.to_internal_repr(found))


@pytest.mark.parametrize(("confidence", "width"), [("low", 0.5), ("medium", 0.25), ("high", 0.125)])
def test_numbers_spread_by_the_confidence(confidence: Confidence, width: float) -> None:
    random = Random(0)
    found = [
        drawn(Prior(0, confidence), FloatDistribution(-100, 100), random, exactly=False) for _ in range(4000)
    ]
    inside = [random.gauss(0, 200 * width) for _ in range(8000)]
    expected = statistics.pstdev(each for each in inside if abs(each) <= 100)
    assert statistics.pstdev(found) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("confidence", "weight"), [("low", 2), ("medium", 4), ("high", 8)])
def test_choices_are_weighed_by_the_confidence(confidence: Confidence, weight: int) -> None:
    random, choices = Random(0), CategoricalDistribution(("a", "b", "c"))
    found = [drawn(Prior("b", confidence), choices, random, exactly=False) for _ in range(4000)]
    assert found.count("b") / 4000 == pytest.approx(weight / (weight + 2), abs=0.03)


def test_a_choice_may_be_a_tuple_and_one_that_is_gone_prefers_none() -> None:
    choices = CategoricalDistribution((repr((0.9, 0.95)), repr((0.9, 0.999))))
    assert drawn(Prior((0.9, 0.999)), choices, Random(0), exactly=True) == repr((0.9, 0.999))
    assert drawn(Prior([0.9, 0.999]), choices, Random(0), exactly=True) == repr((0.9, 0.999))
    gone = [drawn(Prior("none"), choices, Random(seed), exactly=True) for seed in range(40)]
    assert len(set(gone)) == 2


@pytest.mark.parametrize(
    ("priors", "law"),
    [
        (
            {"lrr": Prior(0.1)},
            "no parameter 'lrr', of which there is a prior, in the space; did you mean 'lr'",
        ),
        ({"lr": Prior(5.0)}, r"lr must be in \[0.0001, 0.03\] on a log scale, got 5.0"),
        ({"trouble": Prior("rain")}, "trouble must be one of none, nan, bug, batch, got 'rain'"),
    ],
)
def test_a_prior_of_nothing_or_outside_its_range_is_refused(priors: dict[str, Prior], law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        probe(load_space("spaces.toys").with_settings(priors=priors))


def test_a_confidence_is_one_of_three_and_a_study_keeps_priors_in_json() -> None:
    with pytest.raises(ValidationError, match="'low', 'medium' or 'high'"):
        Prior(0.1, "sure")  # type: ignore[arg-type]
    study = Study(
        metric="m", mode="min", samples=8, num_evaluations=1, priors={"lr": Prior(np.float64(0.1), "low")}
    )
    again = Study.model_validate_json(study.model_dump_json())
    assert again.priors == {"lr": Prior(0.1, "low")} and type(again.priors["lr"].value) is float


def test_an_interrupted_study_proposes_the_same(make_space: Make, open_ledger: Open) -> None:
    def asked(ledger: Ledger, count: int) -> list[Any]:
        found = []
        for _ in range(count):
            proposal = ledger.ask()
            assert isinstance(proposal, Proposal)
            ledger.fail(proposal.number, "why", "infeasible")
            found.append(proposal.params)
        return found

    space = make_space(priors={"x": Prior(0.25)})
    parts = open_ledger(space, "parts")
    first = asked(parts, 4)
    parts.close()
    assert first + asked(open_ledger(space, "parts"), 4) == asked(open_ledger(space, "whole"), 8)
