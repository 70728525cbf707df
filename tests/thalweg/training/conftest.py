"""A process group of one and orders for the toy family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from thalweg.training import engine
from thalweg.training.orders import Report, TrialOrder
from thalweg.training.process_group import World, join
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
"""AdamW that moves each weight by ``lr * g / (1 + |g|)``, so that the gradient g follows from what a step did."""


def step_gradient(session: Session) -> tuple[dict[str, Tensor], Report]:
    """Takes a fresh session to its first evaluation, one step of `STEP` away.

    Returns:
        The gradient of all that the first stage trains, in fp32, and the report.
    """
    before = engine.full_weights(session._engine)
    groups = session.task.stages()[0].groups
    names = [name for name, weight in session._module.model.named_parameters() if weight.requires_grad]
    report = session.advance()
    after = engine.full_weights(session._engine)
    gradient = {}
    for name in names:
        group = max((group for group in groups if name.startswith(group.prefix)), key=lambda g: len(g.prefix))
        moved = (before[name] - after[name]) / (session.task.config.optimization.lr * group.lr_scale)
        gradient[name] = moved / (1 - moved.abs())
    return gradient, report


@pytest.fixture(scope="session")
def world() -> World:
    """This process alone."""
    return join()


@pytest.fixture
def order(tmp_path: Path) -> Orders:
    """Builds an order: knobs of the optimizer as ``opt``, others by name."""

    def build(trial: str = "trial", *, opt: dict[str, Any] | None = None, **knobs: Any) -> TrialOrder:
        optimization = {"lr": 1e-2, "batch_size": 8, "warmup_ratio": 0.1} | (opt or {})
        return TrialOrder(
            trial=trial,
            family="families.toy",
            config={"optimization": optimization, **knobs},
            metric="mse",
            evaluations=(64, 128, 192, 256),
            data_root=str(tmp_path),
            directory=str(tmp_path / "checkpoints"),
        )

    return build


@pytest.fixture
def run(world: World) -> Run:
    """Trains an order to its end."""

    def train(order: TrialOrder) -> list[Report]:
        session = Session(order, world, DataCache())
        reports = [session.advance()]
        while not reports[-1].done:
            reports.append(session.advance(reports[-1].samples))
        session.close()
        return reports

    return train
