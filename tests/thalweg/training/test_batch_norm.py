"""Batch norms in half precision, with and without parameters, on real DeepSpeed, against fp32."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.thalweg.training.conftest import Orders
from tests.thalweg.training.two_workers import Kind, network
from thalweg.training.engine import engine
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

ROUNDING = {"bf16": 2.0**-8, "fp16": 2.0**-11}
"""Largest relative error of one rounding."""
STILL = {"lr": 1e-12, "weight_decay": 0.0, "batch_size": 16, "micro_batch_size": 8}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fp16_everywhere")]


def _trained(
    order: Orders, world: ProcessGroup, kind: Kind, opt: Mapping[str, Any]
) -> tuple[dict[str, Tensor], Mapping[str, float]]:
    """Takes four steps of two passes; returns the statistics, by the dotted names of their norms, and the metrics."""
    with network(kind):
        session = Session(order(kind, opt=STILL | dict(opt)), world, DataCache())
        if opt.get("precision") == "fp16":
            session._engine.optimizer.loss_scale = 128.0
        metrics = session.advance().metrics
        weights = engine.full_weights(session._engine)
        session.close()
    return {
        name: value for name, value in weights.items() if "running" in name or "num_batches" in name
    }, metrics


@pytest.mark.parametrize("kind", ["plain", "sync"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("zero_stage", [0, 3])
def test_statistics_in_half_precision_are_those_of_fp32(
    zero_stage: int, precision: str, kind: Kind, order: Orders, world: ProcessGroup
) -> None:
    expected, wanted = _trained(order, world, "plain", {})
    found, metrics = _trained(order, world, kind, {"precision": precision, "zero_stage": zero_stage})
    assert len(found) == 4 * 3 and found.keys() == expected.keys()
    for name, value in expected.items():
        if "num_batches" in name:
            assert int(found[name]) == int(value) == 8
            continue
        # Inputs are rounded, then the results of the layers before: some roundings of numbers of about 1.
        torch.testing.assert_close(found[name], value, rtol=0, atol=4 * ROUNDING[precision])
    # An evaluation normalises by the statistics.
    assert metrics == pytest.approx(wanted, abs=8 * ROUNDING[precision])


def test_synchronised_norms_of_one_worker_are_plain_ones(order: Orders, world: ProcessGroup) -> None:
    expected, wanted = _trained(order, world, "plain", {"lr": 1e-2})
    found, metrics = _trained(order, world, "sync", {"lr": 1e-2})
    assert metrics == wanted
    assert all(torch.equal(found[name], value) for name, value in expected.items())
