"""MLflow shows at most 20 metrics of a run, whatever a family measures, and its table holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.thalweg.tracking.conftest import Teller
from thalweg import contract, discovery
from thalweg.events import BaselineEvaluated, StudyEnded, TrialProgress
from thalweg.study import COSTS
from thalweg.tracking.additions import HOLD_OUT_PREFIX, add_hold_out
from thalweg.tracking.metrics.curated import (
    ALWAYS,
    MAX_METRICS,
    MAX_OF_FAMILY,
    MAX_ON_TEST,
    MAX_RUNGS,
    MAX_SCHEDULED,
    choose,
    spread,
)
from thalweg.tracking.metrics.metric_table import TEST_TABLE_FILE, read_table

if TYPE_CHECKING:
    from mlflow.entities import Run

FAMILIES = discovery.names("trainables")


def test_what_is_shown_fits_together() -> None:
    assert len(set(ALWAYS)) + MAX_OF_FAMILY + MAX_ON_TEST + MAX_SCHEDULED == MAX_METRICS
    assert set(COSTS) <= set(ALWAYS)


def test_the_first_metrics_of_a_family_are_shown_and_the_objective_always() -> None:
    chosen: list[str] = []
    names = [f"skill_{n}" for n in range(30)]
    assert choose(names, chosen, "skill_29") == {*ALWAYS, "skill_29", *names[: MAX_OF_FAMILY - 1]}
    assert choose(["another", *names], chosen, "skill_29") == {*ALWAYS, *chosen}  # the same in all runs
    assert "another" not in chosen


def test_a_metric_that_comes_later_is_shown_if_there_is_room() -> None:
    chosen: list[str] = []
    choose(["skill"], chosen, "skill")
    assert choose(["skill", "nse"], chosen, "skill") == {*ALWAYS, "skill", "nse"}


def test_names_are_spread_evenly() -> None:
    names = [str(n) for n in range(29)]
    assert spread(names, 8) == ["0", "4", "8", "12", "16", "20", "24", "28"]
    assert spread(names[:5], 8) == names[:5]


def _whole(make: Any, metrics: dict[str, float]) -> list[Any]:
    """A trial of two evaluations with all that a family measures, and curves of many parts."""
    loss = {f"{kind}/part_{n}": 0.1 for kind in ("loss", "weight") for n in range(9)}
    point = {**loss, "loss/weighted": 0.5, "lr": 0.01, "grad_norm": 2.0}
    timings = dict.fromkeys(("train_s", "evaluate_s", "checkpoint_s", "prepare_s", "lane_s"), 1.0)
    seen = [
        TrialProgress(
            number=0,
            samples=n,
            value=0.5,
            metrics=metrics,
            curves=((n - 8, point), (n, point)),
            timings=timings,
        )
        for n in (256, 512)
    ]
    return [make.trial(0), *seen, make.ended(0, 0.5)]


@pytest.mark.slow
@pytest.mark.parametrize("family_name", FAMILIES)
def test_a_run_of_every_family_shows_at_most_20_metrics_and_its_table_holds_all(
    family_name: str, teller: Teller, make: Any, recorded: Callable[[], dict[str, Run]], uri: str, study: str
) -> None:
    family = discovery.load_family(family_name)
    kinds = [contract.metrics_of(family.task(config)) for config in family.presets.values()]
    names = [metric.name for metric in max(kinds, key=len)]  # the preset that measures most
    objective = names[-1]  # whichever was searched for
    values = {name: 0.1 * place for place, name in enumerate(names)}
    measured = values | {f"train_{name}": 0.3 for name in names} | dict.fromkeys(COSTS, 7.0)
    measured |= {f"after_pretraining/{name}": 0.2 for name in names}
    rungs = {str(samples): 0.5 for samples in range(30)}
    teller.tell(
        make.started(metric=objective),
        BaselineEvaluated(name="zero", metrics=values),
        *_whole(make, measured),
        StudyEnded(end="finished", rung_correlations=rungs),
    )
    for _ in range(2):
        add_hold_out(uri, study, make.folder, 0, values, samples=512)
    found = recorded()
    counts = {name: len(run.data.metrics) for name, run in found.items()}
    assert max(counts.values()) <= MAX_METRICS, counts
    trial, baseline = found["trial 000"], found["baseline: zero"]
    shown = {*ALWAYS, objective, *names[: MAX_OF_FAMILY - 1], f"{HOLD_OUT_PREFIX}{names[0]}"}
    assert shown <= trial.data.metrics.keys()
    table = read_table(teller.client, trial.info.run_id)
    last = table.at(512)
    assert measured.items() <= last.items()
    assert {"loss/part_8", "weight/part_8", "train/grad_norm", "time/lane_s"} <= last.keys()
    assert (last["time/train_s"], table.at(256)["time/train_s"], table.at(248)["train/lr"]) == (
        2.0,
        1.0,
        0.01,
    )
    assert values.items() <= read_table(teller.client, baseline.info.run_id).at(0).items()
    assert read_table(teller.client, trial.info.run_id, TEST_TABLE_FILE).at(512) == values
    history = teller.client.get_metric_history(found[f"study {study}"].info.run_id, "rung_correlation/29")
    assert [point.value for point in history] == [0.5]
    assert (
        sum(name.startswith("rung_correlation/") for name in found[f"study {study}"].data.metrics)
        == MAX_RUNGS
    )
