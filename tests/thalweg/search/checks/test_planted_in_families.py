"""Faults planted in each family are found by the checks of a space: in what it measures, costs, and can tell apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from thalweg.config import FamilyConfig
from thalweg.contract import Batch, Measure, Outputs, State
from thalweg.search.checks.baseline_values import judge_baselines
from thalweg.search.checks.comparability import judge_comparability
from thalweg.search.checks.costs import cost_probe
from thalweg.search.checks.costs.cost_probe import judge_cost
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline
from thalweg.search.space import load_space
from thalweg.study import Study, Trial
from trainables.geo_contrastive.config import PRESETS as GEO
from trainables.geo_contrastive.config import GeoContrastive
from trainables.rgb_lidar.config import PRESETS as SCENES
from trainables.rgb_lidar.config import RGBLidar
from trainables.sentinel_supcon.config import PRESETS as LAND
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.water_mae.config import PRESETS as WATER
from trainables.water_mae.config import WaterMAE

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    """A family with an objective, and what of it saturates: at a baseline, or everywhere."""

    config_type: type[FamilyConfig]
    preset: FamilyConfig
    metric: str
    mode: str
    saturated: Callable[[float], float]
    warning: str


CASES = {
    "geo_contrastive": Case(
        GeoContrastive, GEO["tiny"], "rrmse", "min", lambda value: max(value - 0.5, 0.0), "leaves no room"
    ),
    "rgb_lidar": Case(RGBLidar, SCENES["tiny"], "cross_entropy", "min", lambda value: 0.7, "cannot tell"),
    "sentinel_supcon": Case(
        SentinelSupCon,
        LAND["tiny"],
        "macro_recall",
        "max",
        lambda value: min(3 * value, 1.0),
        "leaves no room",
    ),
    "water_mae": Case(
        WaterMAE, WATER["tiny"], "skill", "max", lambda value: min(max(2 * value, 0.0), 1.0), "leaves no room"
    ),
}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny data of all families are made."""
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each family."""
    return CASES[request.param]


@pytest.fixture
def examined(case: Case, folder: Path) -> Examined:
    """A space of one knob that must not move what is measured."""

    def function(trial: Trial) -> FamilyConfig:
        return case.preset.vary(optimization={"lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True)})

    study = Study(metric=case.metric, mode=case.mode, samples=1024, num_trials=4, num_lanes=4)
    space = replace(
        load_space("quickstart"),
        name="planted",
        function=function,
        file=Path(__file__),
        study=study,
        config_type=case.config_type,
    )
    return Examined(space, folder / "runs", folder / "data")


@pytest.fixture
def plant(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[..., Any]], None]:
    """Puts a method in the place of one of the family's task; it gets the task and the result of the true one."""
    task = type(examined.task(examined.bases[0].config))

    def plant(name: str, method: Callable[..., Any]) -> None:
        true = getattr(task, name)
        monkeypatch.setattr(task, name, lambda self, *given: method(self, true(self, *given)))

    return plant


Plant = Callable[[str, Callable[..., Any]], None]


class Wrapped(Measure):
    """A measure of changed predictions, or with changed metrics."""

    def __init__(
        self,
        measure: Measure,
        change: Callable[[Tensor], Tensor] = lambda values: values,
        saturated: Mapping[str, Callable[[float], float]] | None = None,
    ) -> None:
        self.metrics, self.rows, self.units = measure.metrics, measure.rows, measure.units
        self._measure, self._change, self._saturated = measure, change, saturated or {}

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """The state of changed predictions."""
        changed = {
            name: self._change(values) if values.is_floating_point() else values
            for name, values in outputs.items()
        }
        return self._measure.add(changed, batch)

    def summarize(self, state: State) -> dict[str, float]:
        """The metrics, some of them saturated."""
        found = self._measure.summarize(state)
        return {name: self._saturated.get(name, float)(value) for name, value in found.items()}


def shifted(lr: float) -> Callable[[Tensor], Tensor]:
    """Shifts predictions by a rate, each class or place otherwise."""
    return lambda values: values + 50 * lr * torch.linspace(0, 1, values.shape[-1], dtype=values.dtype)


def test_no_family_measures_by_what_is_searched(examined: Examined) -> None:
    found = judge_comparability(examined, Deadline(600))
    assert (found.mark, found.told) == ("passed", "one model keeps its score whatever 1 parameter of 1 are")


def test_a_knob_by_which_predictions_are_measured_is_named(examined: Examined, plant: Plant) -> None:
    plant(
        "measures",
        lambda task, found: tuple(Wrapped(each, shifted(task.config.optimization.lr)) for each in found),
    )
    found = judge_comparability(examined, Deadline(600))
    assert found.numbers["moved_by"] == ["lr"]


def test_a_knob_by_which_inputs_of_evaluations_differ_is_a_warning(examined: Examined, plant: Plant) -> None:
    """Metrics that count calls would not move by it, for a model that never trained calls all samples the same."""

    def lighter(task: Any, batch: Batch) -> Batch:
        shown = {
            name: values * (1 + 100 * task.config.optimization.lr)
            for name, values in batch.items()
            if values.is_floating_point()
        }
        return {**batch, **shown}

    plant("evaluation_batch", lighter)
    found = judge_comparability(examined, Deadline(600))
    assert found.mark != "passed"
    assert {*found.numbers["read_by"], *found.numbers["moved_by"]} == {"lr"}


def test_memory_and_disk_that_this_machine_lacks_are_warned_of(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judge_cost(examined, Deadline(600)).mark == "passed"
    monkeypatch.setattr(cost_probe, "memory_mib", lambda: 2000.0)
    monkeypatch.setattr(cost_probe, "free_mib", lambda folder: 0.001)
    memory, disk = judge_cost(examined, Deadline(600)).warnings
    assert memory.startswith("4 lanes may need ") and memory.endswith("; take --lanes 2")
    assert disk.startswith("checkpoints may take ") and "has 0 MiB free" in disk


def test_a_loss_that_is_not_finite_at_the_start_is_a_fault(examined: Examined, plant: Plant) -> None:
    def poisoned(task: Any, model: torch.nn.Module) -> torch.nn.Module:
        with torch.no_grad():
            for weight in model.parameters():
                weight.fill_(float("nan"))
        return model

    plant("build", poisoned)
    (fault,) = judge_cost(examined, Deadline(600)).faults
    assert fault.startswith("the loss must be finite in the first step, got ")
    assert "lr=" in fault


def test_a_metric_that_saturates_is_warned_of(case: Case, examined: Examined, plant: Plant) -> None:
    assert not judge_baselines(examined, Deadline(600)).warnings
    changed = {case.metric: case.saturated}
    plant("measures", lambda task, found: tuple(Wrapped(each, saturated=changed) for each in found))
    (warning,) = judge_baselines(examined, Deadline(600)).warnings
    assert case.warning in warning
