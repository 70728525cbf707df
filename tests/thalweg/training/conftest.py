"""A process group of one and orders for the toy family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.training.orders import Report, TrialOrder
from thalweg.training.process_group import World, join
from thalweg.training.session import DataCache, Session

Orders = Callable[..., TrialOrder]
Run = Callable[[TrialOrder], list[Report]]


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
