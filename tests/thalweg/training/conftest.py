"""A process group of one and orders for the toy family."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from thalweg.training.engine import engine, half_precision
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session

Orders = Callable[..., TrialOrder]
Run = Callable[[TrialOrder], list[Report]]

STEP: dict[str, Any] = {
    "lr": 1e-2,
    "eps": 1.0,
    "beta1": 0.0,
    "beta2": 0.0,
    "weight_decay": 0.0,
    "clip_norm": 0.0,
    "lr_schedule": "constant",
    "warmup_ratio": 0.0,
}
"""AdamW whose first moment is the gradient of the last step, and that moves each weight by ``lr * g / (1 + |g|)``."""


def step_gradient(session: Session) -> tuple[dict[str, Tensor], Report]:
    """Takes a fresh session to its first evaluation, one step of `STEP` away.

    Returns:
        The gradient of all that the first stage trains, in fp32 as the optimizer got it, and the report.
    """
    before = engine.full_weights(session._engine)
    groups = session.task.stages()[0].groups
    report = session.advance()
    after = engine.full_weights(session._engine)
    gradient = {}
    for name, weight in session._module.model.named_parameters():
        if not weight.requires_grad:
            continue
        gradient[name] = _first_moment(session, weight)
        group = max((group for group in groups if name.startswith(group.prefix)), key=lambda g: len(g.prefix))
        rate = session.task.config.optimization.lr * group.lr_scale
        moved = before[name] - rate * gradient[name] / (1 + gradient[name].abs())
        torch.testing.assert_close(after[name], moved, rtol=1e-5, atol=1e-6)
    return gradient, report


def _first_moment(session: Session, weight: Any) -> Tensor:
    """Returns the whole first moment that AdamW keeps of a weight, in the weight's form; for one worker."""
    from deepspeed.utils import safe_get_full_optimizer_state

    optimizer, zero_stage = session._engine.optimizer, session._engine.zero_optimization_stage()
    if zero_stage == 3:
        moment = safe_get_full_optimizer_state(weight, "exp_avg")
    elif zero_stage:
        place = weight._hp_mapping
        flat = optimizer.single_partition_of_fp32_groups[place.param_group_index]
        address = place.get_hp_fragment_address()
        moment = optimizer.state[flat]["exp_avg"].narrow(0, address.start, address.numel).view_as(weight)
    else:
        master = half_precision.masters(session._engine).get(weight, weight)
        moment = optimizer.state[master]["exp_avg"]
    whole: Tensor = moment.detach().float().clone()
    return whole


@pytest.fixture(scope="session")
def world() -> ProcessGroup:
    """This process alone."""
    return join()


def order_in(
    folder: Path, trial: str = "trial", *, opt: dict[str, Any] | None = None, **knobs: Any
) -> TrialOrder:
    """Builds an order whose files lie in a folder: knobs of the optimizer as ``opt``, others by name."""
    optimization = {"lr": 1e-2, "batch_size": 8, "warmup_ratio": 0.1} | (opt or {})
    return TrialOrder(
        trial=trial,
        family="families.toy",
        config={"optimization": optimization, **knobs},
        metric="mse",
        evaluations=(64, 128, 192, 256),
        data_root=str(folder),
        directory=str(folder / "checkpoints"),
    )


@pytest.fixture
def order(tmp_path: Path) -> Orders:
    """Builds an order in a folder of its own."""
    return partial(order_in, tmp_path)


@pytest.fixture
def run(world: ProcessGroup) -> Run:
    """Trains an order to its end."""

    def train(order: TrialOrder) -> list[Report]:
        session = Session(order, world, DataCache())
        reports = [session.advance()]
        while not reports[-1].done:
            reports.append(session.advance(reports[-1].samples))
        session.close()
        return reports

    return train


@contextmanager
def linear_layers_of(zero_stage: int) -> Iterator[None]:
    """Lets torch compute linear layers as an engine does: at ZeRO 3 it rounds the product, then the sum."""
    from deepspeed.runtime.zero.linear import zero3_linear_wrap

    with pytest.MonkeyPatch.context() as patch:
        if zero_stage == 3:
            patch.setattr(torch.nn.functional, "linear", zero3_linear_wrap)
        yield
