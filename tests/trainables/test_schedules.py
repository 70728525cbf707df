"""Knobs of families that may change during training: each knob of their schedules acts, and numbers are what they were.

All goes through `Family.task`, as in a training. A family whose configuration gets another such knob needs a case.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from pydantic import BaseModel

from tests import tasks
from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.datasets.making import make_world
from thalweg.knobs.scheduled import Schedule
from thalweg.stage_contract import Progress
from thalweg.training.schedule import Plan

BUDGET = 11_000
PLACES = (0.0, 0.3, 0.75)
"""Shares of a stage at which a trial is looked at."""

Schedules = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A knob, two values between which it changes, and the stage that reads it."""

    family: str
    knob: str
    start: float
    end: float
    stage: str
    changes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.family}-{self.knob}"

    def config(self, value: Any) -> FamilyConfig:
        config = discovery.load_family(self.family).preset("tiny").vary(**self.changes)
        *groups, last = self.knob.split(".")
        change: Any = {last: value}
        for group in reversed(groups):
            change = {group: change}
        return config.vary(**change)

    def schedule(self, **changes: Any) -> Schedules:
        """A linear schedule down or up to a half of the stage, with a floor that its lower end lies below."""
        low, high = sorted((self.start, self.end))
        usual = {"start": self.start, "end": self.end, "shape": "linear", "half_point": 0.4}
        return usual | {"floor": low + 0.2 * (high - low)} | changes

    def others(self) -> dict[str, Schedules]:
        """Schedules that differ in one knob each."""
        nearer = 0.7 * self.start + 0.3 * self.end, 0.3 * self.start + 0.7 * self.end
        changes = {"start": nearer[0], "end": nearer[1], "shape": "cosine", "half_point": 0.2, "floor": None}
        assert set(changes) == set(Schedule.model_fields)
        return {name: self.schedule(**{name: value}) for name, value in changes.items()}


BOTH = {"objective": {"kind": "simclr_barlow"}}
FUSED = {"model": {"scenario": "s1s2_fused"}}
PRETRAINED: dict[str, Any] = {"pretraining": {"share": 0.5, "views": True}, "tuning": {"sup_delta": 0.0}}
CASES = [
    Case("geo_contrastive", "objective.temperature", 0.5, 0.1, "contrastive"),
    Case("geo_contrastive", "objective.second_weight", 1.0, 0.0, "contrastive", BOTH),
    Case("geo_contrastive", "objective.cycle_weight", 0.0, 2.0, "contrastive"),
    Case("sentinel_supcon", "tuning.temperature", 0.5, 0.1, "tuning"),
    Case("sentinel_supcon", "tuning.sup_delta", 2.0, 0.0, "tuning", FUSED),
    Case("sentinel_supcon", "pretraining.temperature", 0.1, 0.5, "pretraining", PRETRAINED),
    Case(
        "sentinel_supcon",
        "pretraining.ot_weight",
        1.0,
        0.1,
        "pretraining",
        PRETRAINED | {"model": {"backbone": "prototypes", "num_prototypes": 10}},
    ),
    Case("water_mae", "masking.image_mask_ratio", 0.2, 0.9, "train"),
    Case("water_mae", "masking.vector_mask_ratio", 0.9, 0.2, "train"),
    *(
        Case("water_mae", f"loss_weights.{name}", 2.0, 0.5, "train")
        for name in ("precipitation", "soil_moisture", "temperature", "evaporation", "river_flow")
    ),
    Case("water_mae", "loss.contrastive_weight", 0.0, 0.5, "train"),
    Case(
        "water_mae", "loss.contrastive_temperature", 0.5, 0.05, "train", {"loss": {"contrastive_weight": 0.1}}
    ),
]

Told = list[dict[str, float]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Opens the synthetic world of a family's preset ``tiny``, once."""
    root = tmp_path_factory.mktemp("worlds")

    @cache
    def data_of(name: str) -> Any:
        family = discovery.load_family(name)
        config = family.preset("tiny")
        make_world(family, root / name, config.dataset)
        return family.task(config).open(Path(root / name))

    return data_of


def told(case: Case, config: FamilyConfig, data: Any, budget: int = BUDGET) -> Told:
    """Weights and sums of the parts of the loss at some places of the stage."""
    task = discovery.load_family(case.family).task(config)
    torch.manual_seed(0)
    model = task.build(task.facts(data)).train()
    stage = next(stage for stage in task.stages() if stage.name == case.stage)
    indices = np.arange(8) * 3
    batch = (stage.batch or task.training_batch)(data, indices, indices.astype(np.uint64))
    return [at_place(task, model, batch, now) for now in moments(task, case.stage, budget)]


def moments(task: Any, stage: str, budget: int) -> Iterator[Progress]:
    plan = Plan.lay(task.stages(), budget)
    number = [each.name for each in plan.stages].index(stage)
    start = plan.ends[number - 1] if number else 0
    for place in PLACES:
        yield plan.progress(start + round(place * (plan.ends[number] - start)))


def at_place(task: Any, model: Any, batch: Any, now: Progress) -> dict[str, float]:
    torch.manual_seed(1)
    with torch.no_grad():
        parts = tasks.losses(task, model, batch, now)
    counts = {f"count of {name}": value for name, value in tasks.counts_of(task, model, batch, now).items()}
    weights = {f"weight of {name}": weight for name, weight in tasks.weights(task, now).items()}
    return {name: float(value) for name, value in parts.items()} | counts | weights


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_knob_of_a_schedule_is_alive(case: Case, opened: Callable[[str], Any]) -> None:
    data = opened(case.family)
    usual = told(case, case.config(case.schedule()), data)
    assert usual[0] != usual[1] != usual[2]
    same = [name for name, other in case.others().items() if told(case, case.config(other), data) == usual]
    assert same == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_schedule_is_the_number_that_it_has_come_to(case: Case, opened: Callable[[str], Any]) -> None:
    data = opened(case.family)
    found = told(case, case.config(case.schedule()), data)
    for number, place in enumerate(PLACES):
        value = Schedule(**case.schedule()).at(place)
        if value or case.knob != "loss.contrastive_weight":  # 0 throughout leaves the loss out
            constant = told(case, case.config(value), data)[number]
            assert found[number] == pytest.approx(constant, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES[::3], ids=str)
def test_a_longer_budget_goes_the_same_way(case: Case, opened: Callable[[str], Any]) -> None:
    data, config = opened(case.family), case.config(case.schedule())
    assert told(case, config, data, BUDGET) == told(case, config, data, 50 * BUDGET)


def test_no_knob_that_may_change_is_left_out() -> None:
    found = set()
    for name in discovery.names("trainables"):
        found |= {(name, knob) for knob in scheduled(discovery.load_family(name).config_type)}
    assert found == {(case.family, case.knob) for case in CASES}


def scheduled(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of the knobs of a configuration that may be schedules."""
    for name, info in kind.model_fields.items():
        kinds = get_args(info.annotation) or (info.annotation,)
        if Schedule in kinds:
            yield f"{prefix}{name}"
            continue
        for each in kinds:
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from scheduled(each, f"{prefix}{name}.")
