"""Two workers take the steps of one in all stages, by every objective, with batch norms of all samples."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.thalweg.training.two_workers import Result, Run, distance, launched, train
from tests.trainables.geo_contrastive.conftest import Orders
from thalweg.training.process_group import ProcessGroup, join
from trainables.geo_contrastive.config import PRESETS

pytestmark = pytest.mark.slow

BATCH = 7  # of which one worker has 4
NUM_STAGES = 3
LR = 0.1
PLAIN = {"optimizer": "sgd", "momentum": 0.0, "lr_schedule": "constant", "warmup_ratio": 0.0}
KINDS: Mapping[str, dict[str, Any]] = {
    "simclr": {"objective": {"kind": "simclr", "cycle": "latent", "cycle_weight": 0.1}},
    "barlow": {"objective": {"kind": "barlow"}},
    "supcon": {"objective": {"kind": "supcon"}},
    "autoencoder": {"objective": {"kind": "autoencoder"}},
}


@pytest.fixture(scope="module")
def world() -> ProcessGroup:
    """This process alone."""
    return join()


def ordered(kind: str, order_for: Orders, lr: float) -> Run:
    """A trial of plain descent, to be taken to a step in each stage."""
    config = PRESETS["tiny"].vary(
        encoder={"norm": "batch", "latent_dim": 8},
        decoder={"norm": "batch"},
        stages={f"{stage}_share": 1.0 for stage in ("contrastive", "joint", "decoder")},
        optimization={**PLAIN, "batch_size": BATCH, "lr": lr},
        **KINDS[kind],
    )
    order = order_for(
        config, kind, metric="rrmse", evaluations=(BATCH, NUM_STAGES * BATCH), checkpoints=False
    )
    return Run(order=order, until=NUM_STAGES * BATCH)


def test_two_workers_take_the_steps_of_one(order_for: Orders, world: ProcessGroup) -> None:
    both: Mapping[str, tuple[Result, Result]] = launched(
        {kind: ordered(kind, order_for, LR) for kind in KINDS}
    )
    for kind, (first, second) in both.items():
        still, one = (train(ordered(kind, order_for, lr), world).state for lr in (1e-9, LR))
        assert first.metrics == second.metrics, kind
        assert distance(still, one) > 0.01, kind
        assert distance(first.state, one) < 1e-4 * distance(still, one), kind
