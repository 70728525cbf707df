"""Which metric a study may optimise."""

import pytest

from thalweg.contract import Metric
from thalweg.errors import ObjectiveError
from thalweg.search.objective import check_objective
from thalweg.study import Study

METRICS = (
    Metric(name="skill", mode="max", unit="1", search_invariant=True, meaning="Skill against climatology."),
    Metric(name="rmse", mode="min", unit="mm", search_invariant=True, meaning="Error in data space."),
    Metric(name="loss", mode="min", unit="1", search_invariant=False, meaning="Weighted training loss."),
)


def study(metric: str, mode: str) -> Study:
    return Study.model_validate({"metric": metric, "mode": mode, "samples": 8})


def test_a_search_invariant_metric_is_accepted() -> None:
    assert check_objective(study("skill", "max"), METRICS, "pond") is METRICS[0]


def test_a_metric_that_is_not_declared_is_refused_with_those_that_are() -> None:
    with pytest.raises(
        ObjectiveError,
        match=r"got 'nse'; those .*pond. measure skill .max., rmse .min.; .*unfit to be an objective: loss",
    ):
        check_objective(study("nse", "max"), METRICS, "pond")


def test_a_metric_that_is_misspelt_is_told_the_one_that_was_meant() -> None:
    with pytest.raises(
        ObjectiveError, match=r"got 'skil'; did you mean 'skill'\? .`thalweg describe pond` lists all 3.$"
    ):
        check_objective(study("skil", "max"), METRICS, "pond")


def test_a_weighted_loss_is_refused_with_the_reason_and_the_way_out() -> None:
    with pytest.raises(ObjectiveError, match=r"same in every trial, got 'loss'.*skill .max., rmse"):
        check_objective(study("loss", "min"), METRICS, "pond")


def test_the_wrong_direction_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="rmse is better small, got mode='max'; try mode='min'"):
        check_objective(study("rmse", "max"), METRICS, "pond")


def test_an_objective_that_the_spaces_configurations_do_not_measure_is_refused() -> None:
    assert check_objective(study("skill", "max"), METRICS[:1], "pond") is METRICS[0]
    with pytest.raises(ObjectiveError, match="must be measured by its configurations, got 'skill'"):
        check_objective(study("skill", "max"), METRICS[1:2], "pond")
