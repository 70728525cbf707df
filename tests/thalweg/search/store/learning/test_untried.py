"""No trial is repeated: what counts as the same, where proposals move, and what a search gains."""

from random import Random
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from thalweg.search.store.learning.untried import UntriedSampler, apart_from
from thalweg.search.store.records import OUTCOME
from thalweg.search.store.samplers import make_sampler
from thalweg.study import SamplerName, Study

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "depth": IntDistribution(1, 8),
    "kind": CategoricalDistribution(("a", "b")),
}
POINT = {"lr": 1e-2, "depth": 4, "kind": "a"}


@given(st.integers(0, 10_000))
def test_what_was_tried_moves_aside_within_its_range(seed: int) -> None:
    near = {"lr": 1e-2 * (1 - 1e-9), "depth": 4, "kind": "a", "only_there": 3}
    moved = apart_from(POINT, SPACE, [near], Random(seed))
    assert moved != POINT and moved.keys() == POINT.keys()
    assert all(kind._contains(kind.to_internal_repr(moved[name])) for name, kind in SPACE.items())


@pytest.mark.parametrize(
    "other",
    [
        {"lr": 0.99e-2, "depth": 4, "kind": "a"},
        {"lr": 1e-2, "depth": 5, "kind": "a"},
        {"lr": 1e-2, "depth": 4, "kind": "b"},
        {"lr": 1e-2, "bias": 4},  # another branch
    ],
)
def test_what_was_not_tried_stays(other: dict[str, Any]) -> None:
    assert apart_from(POINT, SPACE, [other], Random(0)) is POINT


def test_what_lacks_a_parameter_that_it_was_not_asked_for_was_tried() -> None:
    """A parameter that hangs on a number is proposed always: none of its values makes another trial there."""
    moved = apart_from(POINT, SPACE, [{"lr": 1e-2, "kind": "a"}], Random(0))
    assert (moved["lr"], moved["kind"]) != (1e-2, "a")


def test_a_space_that_was_tried_in_whole_is_proposed_again() -> None:
    space: dict[str, BaseDistribution] = {"kind": CategoricalDistribution(("a", "b"))}
    assert apart_from({"kind": "a"}, space, [{"kind": "a"}, {"kind": "b"}], Random(0)) == {"kind": "a"}
    assert apart_from({"kind": "a"}, space, [{"kind": "a"}], Random(0)) == {"kind": "b"}
    assert apart_from({}, {}, [{}], Random(0)) == {}


class Fixed(optuna.samplers.RandomSampler):
    """Proposes the same point for ever."""

    def infer_relative_search_space(self, study: optuna.Study, trial: Any) -> dict[str, BaseDistribution]:
        return {"x": FloatDistribution(0.0, 1.0)}

    def sample_relative(self, study: optuna.Study, trial: Any, search_space: Any) -> dict[str, Any]:
        return {"x": 1.0}


@pytest.mark.parametrize(
    ("state", "ended_as", "is_tried"),
    [
        (TrialState.COMPLETE, "complete", True),
        (TrialState.PRUNED, "pruned", True),
        (TrialState.RUNNING, None, True),
        (TrialState.FAIL, "diverged", True),
        (TrialState.FAIL, "infrastructure", False),
        (TrialState.FAIL, None, False),
    ],
)
def test_a_trial_counts_by_why_it_ended(state: TrialState, ended_as: str | None, is_tried: bool) -> None:
    study = optuna.create_study(sampler=UntriedSampler(Fixed(), 0))
    outcome = {OUTCOME: {"ended_as": ended_as}} if ended_as else {}
    study.add_trial(
        create_trial(
            state=state,
            params={"x": 1.0},
            distributions={"x": FloatDistribution(0.0, 1.0)},
            values=[0.1] if state == TrialState.COMPLETE else None,
            user_attrs=outcome,
        )
    )
    assert (study.ask().suggest_float("x", 0.0, 1.0) < 1.0) == is_tried


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["range", "number"])
def test_a_search_repeats_no_trial_whose_parameters_hang_on_others(ask: str) -> None:
    asked = Study(metric="loss", mode="min", samples=8, num_trials=14, scheduler="none", sampler="curves")
    study = optuna.create_study(sampler=make_sampler(asked))

    def loss(trial: optuna.Trial) -> float:
        if ask == "number":
            start = trial.suggest_float("start", 0.0, 1.0)
            return start + (trial.suggest_float("end", 0.0, 1.0) if start > 0.5 else 0.2)
        is_deep = trial.suggest_categorical("kind", ("flat", "deep")) == "deep"
        return abs(trial.suggest_int("width", 1 + 99 * is_deep, 200 + 400 * is_deep) - 120)

    study.optimize(loss, n_trials=14)
    assert len({tuple(trial.params.items()) for trial in study.trials}) == 14


@pytest.mark.parametrize("sampler", [pytest.param("gp_tpe", marks=pytest.mark.slow), "tpe"])
def test_a_search_whose_best_point_is_a_corner_repeats_no_trial(sampler: SamplerName) -> None:
    study = optuna.create_study(
        sampler=make_sampler(
            Study(metric="loss", mode="min", samples=8, num_trials=24, sampler=sampler, scheduler="none")
        )
    )

    def slope(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        batch = trial.suggest_categorical("batch", (8, 16, 32))
        rough = 0.05 * (hash((round(rate, 6), batch)) % 7)
        return -100 * rate - batch / 64 + rough

    study.optimize(slope, n_trials=24)
    seen = {(round(trial.params["lr"], 9), trial.params["batch"]) for trial in study.trials}
    assert len(seen) == 24
