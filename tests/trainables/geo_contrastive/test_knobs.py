"""Every knob that a trial can be told by changes what it trains, sees or measures."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args

import numpy as np
import pytest
import torch

from tests import tasks
from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.config import active, parse
from thalweg.errors import ConfigError
from thalweg.knobs.scheduled import Schedule
from thalweg.stage_contract import Progress
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.task import task_for

NAMES = ("t2m", "z")
EVERY = PRESETS["tiny"].vary(
    data={"variables": NAMES},
    views={"mask_high": 0.6, "crop": 0.8, "smooth": 3, "noise": 0.1, "flip": 0.2, "cutout": 0.2},
    pairs={"soft_negatives": True, "soft_gap": 40},
    encoder={"latent_dim": 8, "width": 8, "patterns": 4},
    decoder={"norm": "group8", "dropout": 0.1, "adversary_weight": 0.1},
    objective={"kind": "simclr_barlow", "projection_dim": 8, "latent_l1": 1e-3, "weighted_negatives": True},
    stages={"alpha": {"cap": 0.1}},
)
# Behind patterns a network begins with latents of 0.
LATE = EVERY.vary(encoder={"patterns": 0, "fusion": {"kind": "cross_attention"}})
HEADS: dict[str, dict[str, Any]] = {
    "forecast": {"cell": "transformer", "hidden": 8, "dropout": 0.1, "context": 3},
    "assimilation": {"hidden_dim": 8},
    "diffusion": {"hidden_dim": 8},
    "seasons": {},
}
CASES = {
    "representation": (EVERY, ""),
    "gat": (LATE.vary(encoder={"fusion": {"kind": "gat", "num_parameters": 400}}), "encoder.fusion."),
    "cross_attention": (LATE, "encoder.fusion."),
    **{
        kind: (EVERY.vary(downstream={"kind": kind, **knobs}), "downstream.") for kind, knobs in HEADS.items()
    },
}
NOT_READ = {"dataset", "seed", "starts_from", "ghost_batch_norm", "data.variables", "downstream.kind"}
"""Where data and weights come from, what the platform tests, and a mere permission."""


def _others(value: Any, annotation: Any) -> list[Any]:
    """Some other values that a knob may take."""
    if isinstance(value, bool):
        return [not value]
    if annotation in (int, float, int | None, float | Schedule):
        return [2 * value, value / 2, value + 1, value + 0.1, 1 - value]
    return [other for other in get_args(annotation) if other != value] or [[["z"]]]


def _changed(config: GeoContrastive, name: str) -> Iterator[GeoContrastive]:
    """Configurations with another value of a knob."""
    *groups, knob = name.split(".")
    group: Any = config
    for part in groups:
        group = getattr(group, part)
    for other in _others(getattr(group, knob), type(group).model_fields[knob].annotation):
        values = config.model_dump(mode="json")
        place = values
        for part in groups:
            place = place[part]
        place[knob] = other
        with suppress(ConfigError):
            yield parse(GeoContrastive, values)


def _told(config: GeoContrastive, data: FieldData) -> list[Any]:
    """What a trial is by its stages, losses, gradients and metrics."""
    task = task_for(config)
    torch.manual_seed(0)
    model = task.build(task.facts(data)).train()
    found: list[Any] = [tasks.names(task), sum(weight.numel() for weight in model.parameters())]
    stages = task.stages()
    for stage in stages if stages[-1].features is None else stages[-1:]:
        now = Progress(samples=500, total_samples=1000, stage=stage.name, stage_ratio=0.5)
        batch = (stage.batch or task.training_batch)(data, np.arange(6), np.arange(6, dtype=np.uint64))
        prepared = tasks.prepare(stage, data, model)
        torch.manual_seed(1)
        parts = tasks.losses(task, model, batch, now, prepared)
        model.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        slopes = [float(weight.grad.abs().sum()) for weight in model.parameters() if weight.grad is not None]
        found += [stage.name, stage.share, stage.groups, dict(stage.loss.weights(now)), slopes]
        found.append({name: float(part.detach()) for name, part in parts.items()})
    with torch.no_grad():
        outputs = task.predict(model.eval(), task.evaluation_batch(data, "val", np.arange(20)))
    return [*found, {name: float(values.nan_to_num().abs().sum()) for name, values in outputs.items()}]


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """120 training days."""
    return make_fields(200, variables=NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_knob_is_alive(data: FieldData, case: str) -> None:
    config, prefix = CASES[case]
    usual, dead = _told(config, data), []
    knobs = [name for name in active(config) if not name.startswith("optimization.") and name not in NOT_READ]
    for name in knobs:
        if name.startswith(prefix):
            others = (_told(other, data) for other in _changed(config, name))
            if not any(other != usual for other in others):
                dead.append(name)
    assert any(name.startswith(prefix) for name in knobs)
    assert not dead
