"""The settings of a study: evaluation points, rungs, laws across fields, and the trials of a grid."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thalweg.errors import SpaceError
from thalweg.search.replay import RecordedTrial
from thalweg.study import Grid, Population, Study, grid


def make(**changes: Any) -> Study:
    return Study(**{"metric": "loss", "mode": "min", "samples": 900, "num_evaluations": 9, **changes})


@given(samples=st.integers(1, 10**7), count=st.integers(1, 40))
def test_evaluations_rise_evenly_to_the_budget(samples: int, count: int) -> None:
    points = make(samples=samples, num_evaluations=min(count, samples)).evaluations
    gaps = [after - before for before, after in pairwise((0, *points))]
    assert points[-1] == samples
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@given(
    samples=st.integers(1, 10**6),
    count=st.integers(1, 40),
    factor=st.integers(2, 8),
    first=st.one_of(st.none(), st.integers(1, 10**6)),
    scheduler=st.sampled_from(["expected_improvement", "guarded_halving", "promotion"]),
)
def test_rungs_are_evaluations_before_the_end_and_rise(
    samples: int, count: int, factor: int, first: int | None, scheduler: str
) -> None:
    study = make(
        scheduler=scheduler,
        samples=samples,
        num_evaluations=min(count, samples),
        reduction_factor=factor,
        min_samples=None if first is None else min(first, samples),
    )
    assert set(study.rungs) <= set(study.evaluations[:-1])
    assert list(study.rungs) == sorted(set(study.rungs))


def test_rungs_grow_by_the_reduction_factor() -> None:
    assert make(min_samples=100, scheduler="guarded_halving").rungs == (100, 300)


def test_the_first_rung_is_a_ninth_of_the_budget_by_default() -> None:
    halving = {"scheduler": "successive_halving"}
    assert make(**halving).rungs == (100, 300)
    assert make(**halving, samples=800, num_evaluations=8).rungs == (100, 300)


def test_expected_improvement_may_stop_a_trial_at_each_evaluation_from_a_ninth_of_the_budget_on() -> None:
    assert make().rungs == tuple(range(100, 900, 100))
    assert make(min_samples=250).rungs == tuple(range(300, 900, 100))


BY_CURVES, BY_ENDS = ("curves", "expected_improvement"), ("gp_tpe", "guarded_halving")


@pytest.mark.parametrize(
    ("named", "pair"),
    [
        ({}, BY_CURVES),
        ({"sampler": "curves"}, BY_CURVES),
        ({"scheduler": "expected_improvement"}, BY_CURVES),
        ({"scheduler": "guarded_halving"}, BY_ENDS),
        ({"scheduler": "successive_halving"}, ("gp_tpe", "successive_halving")),
        ({"scheduler": "none"}, ("gp_tpe", "none")),
        ({"sampler": "random"}, ("random", "guarded_halving")),
        ({"sampler": "random", "scheduler": "expected_improvement"}, ("random", "expected_improvement")),
        ({"sampler": "curves", "scheduler": "none"}, ("curves", "none")),
        ({"soft_ranking": True}, BY_ENDS),
        ({"at_most": {"cost/epoch_s": 60}}, BY_ENDS),
        ({"at_least": {"other": 0.5}}, BY_ENDS),
        ({"also": {"other": "min"}}, ("gp_tpe", "none")),
        ({"also": {"other": "min"}, "scheduler": "guarded_halving"}, BY_ENDS),
    ],
)
def test_a_sampler_and_a_scheduler_that_are_not_named_go_with_what_is(
    named: dict[str, Any], pair: tuple[str, str]
) -> None:
    study = make(**named)
    assert (study.sampler, study.scheduler) == pair
    assert Study(**study.model_dump(exclude={"grid"})) == study


def test_a_study_without_a_scheduler_has_no_rungs() -> None:
    assert make(scheduler="none").rungs == ()


@pytest.mark.parametrize(("num_trials", "expected"), [(1, 1), (16, 4), (400, 10)])
def test_a_quarter_of_the_trials_starts_at_random(num_trials: int, expected: int) -> None:
    assert make(num_trials=num_trials, sampler="tpe").startup_trials == expected


def test_the_default_starts_with_eight_random_trials() -> None:
    assert make(num_trials=400).startup_trials == 8
    assert make(num_trials=400, sampler="gp_tpe").startup_trials == 5
    assert make(num_trials=12).startup_trials == 3
    assert make(num_trials=12, num_startup_trials=7).startup_trials == 7


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"num_evaluations": 901}, "num_evaluations must be at most samples = 900, got 901"),
        ({"min_samples": 901}, "min_samples must be at most samples = 900, got 901"),
        ({"num_lanes": 0}, "num_lanes must be at least 1 or 'auto', got 0"),
        ({"cpus_per_worker": 0}, "must book CPU cores or GPUs, got cpus_per_worker=0 and gpus_per_worker=0"),
        (
            {"soft_ranking": True, "scheduler": "none"},
            "must go with a scheduler of ranks",
        ),
        ({"sampler": "grid"}, "Input should be 'curves'"),
        ({"epochs": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_study_that_breaks_a_law_is_refused(changes: dict[str, Any], law: str) -> None:
    with pytest.raises(ValidationError, match=law):
        make(**changes)


def test_every_setting_has_a_sentence() -> None:
    assert [name for name, field in Study.model_fields.items() if not field.description] == []


TWO_RATES = grid(lr=[1e-3, 1e-4], fusion={"late": ("late", 1), "maps": ("intermediate", 2)}, seeds=2)


def test_a_grid_holds_each_combination_once_and_its_last_axis_varies_fastest() -> None:
    assert [tuple(cell.items()) for cell in TWO_RATES.cells] == [
        (("seed", seed), ("lr", lr), ("fusion", fusion))
        for seed in (0, 1)
        for lr in (1e-3, 1e-4)
        for fusion in ("late", "maps")
    ]


def test_a_space_gets_the_values_of_its_cell_and_what_names_stand_for() -> None:
    trial = RecordedTrial({"lr": 1e-4, "fusion": "maps", "seed": 1})
    assert TWO_RATES.ask(trial) == {"lr": 1e-4, "fusion": ("intermediate", 2), "seed": 1}
    assert trial.params == {"lr": 1e-4, "fusion": "maps", "seed": 1}
    assert [str(domain) for domain in trial.asked.values()] == [
        "one of 0.001, 0.0001",
        "one of late, maps",
        "in [0, 1]",
    ]


def test_a_misspelt_axis_is_told_the_one_that_was_meant() -> None:
    cell = TWO_RATES.ask(RecordedTrial({}))
    with pytest.raises(
        SpaceError, match=r"no axis 'fuson' in the grid; did you mean 'fusion'\? \(found: fusion, lr, seed\)"
    ):
        cell["fuson"]


def test_a_grid_of_seeds_alone_repeats_one_configuration() -> None:
    assert grid(seeds=3).cells == ({"seed": 0}, {"seed": 1}, {"seed": 2})


def test_a_number_of_seeds_may_come_from_numpy() -> None:
    assert grid(seeds=np.int64(2)) == grid(seeds=2)


def test_values_of_numpy_become_python_s_own() -> None:
    (first, second) = grid(lr=np.array([0.5, 0.25])).cells
    assert (first, second) == ({"lr": 0.5}, {"lr": 0.25})
    assert type(first["lr"]) is float


def test_a_study_of_a_grid_is_a_study_with_its_cells_as_first_trials() -> None:
    spelt = make(first_trials=TWO_RATES.cells, num_trials=8, sampler="random", scheduler="none")
    study = make(grid=TWO_RATES)
    assert study.model_dump() == spelt.model_dump()
    assert study.model_dump_json() == spelt.model_dump_json()
    assert study.rungs == ()
    named = make(grid=TWO_RATES, scheduler="hyperband", sampler="tpe")
    assert (named.scheduler, named.sampler) == ("hyperband", "tpe")


@pytest.mark.parametrize(("name", "value"), [("num_trials", 8), ("first_trials", ({"lr": 1e-3},))])
def test_what_a_grid_says_is_not_said_twice(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=f"{name} must be left out if grid gives it, got"):
        make(grid=TWO_RATES, **{name: value})


@pytest.mark.parametrize(
    ("axes", "law"),
    [
        ({}, "a grid must have at least one axis, got none"),
        ({"lr": []}, "must have at least one value, got none for 'lr'"),
        ({"fusion": "late"}, "must be a list of values, got 'late' for 'fusion'"),
        ({"fusion": {"late"}}, "must be a list of values, got {'late'} for 'fusion'"),
        (
            {"lr": [1.0], "seeds": 0},
            "seeds must be a whole number of at least 1, got 0; try seeds=3",
        ),
        ({"seeds": 1.5}, "seeds must be a whole number of at least 1, got 1.5"),
        ({"seeds": "3"}, "seeds must be a whole number of at least 1, got '3'"),
        ({"seeds": True}, "seeds must be a whole number of at least 1, got True"),
        ({"seeds": [1, 2]}, r"got \[1, 2\]; try seeds=3, or an axis seed=\[...\]"),
        ({"lr": np.array(3.0)}, "must be a list of values, got 3.0 for 'lr'"),
        ({"lr": b"abc"}, "must be a list of values, got b'abc' for 'lr'"),
        ({"seed": [1, 2], "seeds": 2}, "without an axis 'seed' beside it, got 2 and the axes seed"),
    ],
)
def test_a_grid_without_a_list_of_values_is_refused(axes: dict[str, Any], law: str) -> None:
    with pytest.raises(SpaceError, match=law):
        grid(**axes)


def test_a_study_takes_nothing_else_for_a_grid() -> None:
    assert isinstance(TWO_RATES, Grid)
    with pytest.raises(ValidationError, match="grid"):
        make(grid={"lr": [1e-3, 1e-4]})


def test_help_tells_each_setting() -> None:
    told = Study.__doc__ or ""
    assert told.startswith("The settings of one search")
    assert [name for name in Study.model_fields if f"    {name}: " not in told] == []


@pytest.mark.parametrize(
    ("fields", "law"),
    [
        (
            {"also": {"loss": "min"}},
            "also must name others than the metric, which is optimised anyway, got 'loss'",
        ),
        ({"at_least": {"loss": 1.0}}, "at_least must name others than the metric"),
        (
            {"also": {"cost/num_parameter": "min"}},
            "is measured, got 'cost/num_parameter'; did you mean 'cost/num_p",
        ),
        ({"at_most": {"cost/memory": 8}}, "is measured, got 'cost/memory'"),
        (
            {"also": {"cost/epoch_s": "max"}},
            "a cost is better small, got also=.'cost/epoch_s': 'max'.; try 'min'",
        ),
        ({"at_most": {"cost/epoch_s": 0}}, "at_most must be positive for a cost, got 0 for 'cost/epoch_s'"),
        (
            {"at_most": {"skill": 0.5}, "at_least": {"skill": 0.6}},
            "at_most must not be less than at_least, got 0.5",
        ),
        ({"at_most": {"skill": float("nan")}}, "finite number"),
        ({"sampler": "cmaes", "also": {"skill": "max"}}, "sampler='cmaes' follows one objective .* got also"),
        (
            {"sampler": "cmaes", "at_most": {"skill": 1}},
            "sampler='cmaes' follows one objective .* got at_most",
        ),
    ],
)
def test_objectives_and_constraints_that_say_nothing_are_refused(fields: dict[str, Any], law: str) -> None:
    with pytest.raises(ValidationError, match=law):
        make(**fields)


def test_further_objectives_take_no_scheduler_unless_one_is_named() -> None:
    also = {"cost/num_parameters": "min"}
    assert make(also=also).scheduler == "none"
    assert make(also=also, scheduler="hyperband").scheduler == "hyperband"
    assert make(at_most={"cost/epoch_s": 60}).scheduler != "none"
    assert make(also=also).objectives == {"loss": "min", **also}


def test_a_population_gives_scheduler_sampler_and_number_of_trials() -> None:
    for study in (make(scheduler="population"), make(population=Population()), make(population={"size": 8})):
        assert (study.scheduler, study.sampler, study.num_trials) == ("population", "random", 8)
        assert study.population == Population()
        assert study.rungs == () and study.waits and not study.promotes
    assert make(population=Population(size=4), num_trials=12).num_trials == 12
    kept = make(population=Population(size=4)).model_dump(mode="json", exclude_unset=True)
    assert Study.model_validate(kept) == make(population=Population(size=4))


@pytest.mark.parametrize(
    ("population", "marks"),
    [
        ({}, (100, 200, 300, 400, 500, 600, 700, 800)),
        ({"every": 300}, (300, 600)),
        ({"every": 250}, (300, 500, 800)),
        ({"burn_in": 350}, (400, 500, 600, 700, 800)),
        ({"every": 300, "burn_in": 301}, (600,)),
    ],
)
def test_marks_are_evaluations_before_the_end(population: dict[str, int], marks: tuple[int, ...]) -> None:
    assert make(population=population).marks == marks
    assert make().marks == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sampler": "tpe"}, "sampler must be 'random' with a population"),
        ({"scheduler": "none"}, "scheduler must be 'population' with a population"),
        ({"min_improvement": 0.1}, "min_improvement must be None with a population"),
        ({"num_trials": 12}, "must be a multiple of the population's size 8, got 12; try 16"),
        ({"population": {"every": 900}}, "must be compared before the end of its 900 samples"),
        ({"population": {"factors": (0.8, -1.0)}}, "factors must be positive"),
        ({"population": {"size": 1}}, "greater than or equal to 2"),
        ({"grid": grid(lr=[0.1, 0.2])}, "num_trials must be left out if grid gives it"),
    ],
)
def test_what_does_not_go_with_a_population_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**{"population": Population(), **settings})
