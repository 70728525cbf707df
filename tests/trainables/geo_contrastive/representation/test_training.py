"""Trials of the representation on DeepSpeed: interrupted in every stage, and cut into micro-batches."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.thalweg.training.conftest import STEP, step_gradient
from tests.trainables.geo_contrastive.conftest import Orders
from thalweg.errors import ConfigError
from thalweg.training.engine import engine
from thalweg.training.messages import Report
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session
from trainables.geo_contrastive.config import PRESETS, GeoContrastive

BATCH = 8
STAGES = ("contrastive", "joint", "decoder", "seasons")
STEPS = tuple(BATCH * number for number in range(1, 2 * len(STAGES) + 1))
"""An evaluation behind each step; every stage has two, of which the first ends in its middle."""


def _config(**changes: Any) -> GeoContrastive:
    return PRESETS["tiny"].vary(
        optimization={"batch_size": BATCH},
        encoder={"latent_dim": 8, "width": 4},
        stages={f"{name}_share": 1.0 for name in STAGES[:3]},
        **changes,
    )


def _finished(session: Session, reached: int) -> tuple[list[Report], dict[str, Tensor]]:
    reports = [session.advance(reached)]
    while not reports[-1].done:
        reports.append(session.advance(reports[-1].samples))
    weights = {name: value.clone() for name, value in engine.full_weights(session._engine).items()}
    session.close()
    return reports, weights


@pytest.mark.slow
def test_a_trial_goes_on_in_the_middle_of_every_stage_bit_for_bit(
    order_for: Orders, world: ProcessGroup
) -> None:
    config = _config(downstream={"kind": "seasons", "share": 0.25, "dropout": 0.2})
    given = {"metric": "rrmse", "evaluations": STEPS}
    cache = DataCache()
    whole, expected = _finished(Session(order_for(config, "whole", **given), world, cache), 0)
    for number, stage in enumerate(STAGES):
        name, stop = f"cut-{stage}", STEPS[2 * number]
        session = Session(order_for(config, name, **given), world, cache)
        reached = 0
        while reached < stop:
            reached = session.advance(reached).samples
        assert session._stage.name == stage
        session.close()
        rest, weights = _finished(Session(order_for(config, name, **given), world, cache), stop)
        later = whole[2 * number + 1 :]
        assert [report.metrics for report in rest] == [report.metrics for report in later], stage
        assert [report.curve for report in rest] == [report.curve for report in later], stage
        assert all(torch.equal(weights[each], value) for each, value in expected.items()), stage


def _gradient(
    order_for: Orders, world: ProcessGroup, norm: str, micro_batch_size: int | None
) -> dict[str, Tensor]:
    config = _config(
        decoder={"dropout": 0.0},
        objective={"kind": "simclr_barlow", "projector_norm": norm},
        ghost_batch_norm=norm == "batch",
    ).vary(optimization=STEP | {"micro_batch_size": micro_batch_size})
    given = order_for(config, f"{norm}-{micro_batch_size}", metric="rrmse", evaluations=(BATCH, 6 * BATCH))
    session = Session(given, world, DataCache())
    gradient, _ = step_gradient(session)
    session.close()
    return gradient


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "is_exact"), [("layer", True), ("none", True), ("batch", False)])
def test_gradients_of_micro_batches_are_those_of_the_batch_unless_batch_norms_are_allowed_to_see_less(
    norm: str, is_exact: bool, order_for: Orders, world: ProcessGroup
) -> None:
    whole, cut = (_gradient(order_for, world, norm, size) for size in (None, 3))
    length = torch.stack([value.norm() for value in whole.values()]).norm()
    error = torch.stack([(cut[name] - value).norm() for name, value in whole.items()]).norm() / length
    assert (float(error) < 1e-4) if is_exact else (float(error) > 0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"objective": {"projector_norm": "none"}, "encoder": {"norm": "batch"}},
        {"objective": {"kind": "autoencoder"}, "decoder": {"norm": "batch"}},
    ],
)
def test_batch_norms_of_micro_batches_are_refused_unless_allowed(changes: dict[str, Any]) -> None:
    knobs = {"batch_size": 32, "micro_batch_size": 8}
    with pytest.raises(ConfigError, match="must be the batch_size of 32 where batch norms train, got 8"):
        PRESETS["tiny"].vary(optimization=knobs, **changes)
    PRESETS["tiny"].vary(optimization=knobs, ghost_batch_norm=True, **changes)
    PRESETS["tiny"].vary(optimization=knobs | {"micro_batch_size": 32}, **changes)
    PRESETS["tiny"].vary(optimization=knobs, objective={"projector_norm": "layer"})
    PRESETS["tiny"].vary(
        optimization=knobs, starts_from=("first",), downstream={"kind": "seasons", "share": 1.0}, **changes
    )  # no stage trains them
