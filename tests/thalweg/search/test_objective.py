"""Which metric a study may optimise."""

from typing import Any

import pytest

from thalweg.contract import Metric
from thalweg.errors import ObjectiveError
from thalweg.search.objective import check_measured, check_objective, check_others
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


def several(**fields: Any) -> Study:
    return Study.model_validate({"metric": "skill", "mode": "max", "samples": 8, **fields})


@pytest.mark.parametrize(
    ("fields", "law"),
    [
        (
            {"also": {"rms": "min"}},
            r"also must name costs, or metrics of pond .*got 'rms'; did you mean 'rmse'",
        ),
        (
            {"also": {"loss": "min"}},
            r"that mean the same in every trial, got 'loss'; this space has skill, rmse, cost",
        ),
        ({"at_most": {"loss": 1.0}}, r"at_most must name costs.*got 'loss'"),
        ({"also": {"rmse": "max"}}, r"rmse is better small, got also=.'rmse': 'max'.; try 'min'"),
    ],
)
def test_others_must_compare_trials_too(fields: dict[str, Any], law: str) -> None:
    with pytest.raises(ObjectiveError, match=law):
        check_others(several(**fields), METRICS, "pond")


def test_costs_and_metrics_that_compare_trials_are_accepted() -> None:
    fields = {"also": {"rmse": "min", "cost/epoch_s": "min"}, "at_least": {"rmse": 0.1}}
    check_others(several(**fields), METRICS, "pond")


@pytest.mark.parametrize(
    ("fields", "what"), [({"also": {"rmse": "min"}}, "also"), ({"at_most": {"rmse": 1}}, "a constraint")]
)
def test_what_the_data_cannot_give_is_no_other_objective(fields: dict[str, Any], what: str) -> None:
    check_measured(several(**fields), {"other": "no gauges"})
    with pytest.raises(ObjectiveError, match=f"{what} must be measured on val, got 'rmse': no gauges"):
        check_measured(several(**fields), {"rmse": "no gauges"})
