"""Trains orders on two workers, for tests: what a session does there, as plain numbers.

`launched` does it in processes that are quickly there, and torch's launcher as a user has it:
``python -m torch.distributed.run --nproc-per-node 2 -m tests.thalweg.training.two_workers FOLDER`` reads
``FOLDER/runs`` and writes ``FOLDER/rank-0`` and ``FOLDER/rank-1``.
"""

import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn

from families.toy.task import Net, ToyTask
from tests.workers import on_workers
from thalweg.training.engine import buffers, engine
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session

Kind = Literal["toy", "plain", "sync"]


class Normed(Net):
    """The toy's network behind batch norms, of a batch and of its pixels, and buffers that each worker has for itself.

    Args:
        kind: Whether the norms are those of torch or synchronised over the workers.
    """

    counted: Tensor
    flags: Tensor

    def __init__(self, kind: Kind) -> None:
        super().__init__(8, 0.0)
        planes = [nn.BatchNorm2d(2), nn.Tanh(), nn.BatchNorm2d(2, affine=False)]
        rows = [nn.BatchNorm1d(8), nn.Tanh(), nn.BatchNorm1d(8, affine=False, momentum=None)]
        image = nn.Sequential(nn.Unflatten(1, (2, 2, 1)), *planes, nn.Flatten())
        # A bias just before a batch norm has no gradient but rounding, which Adam would blow up.
        self.body = nn.Sequential(image, nn.Linear(4, 8, bias=False), *rows, nn.Tanh())
        if kind == "sync":
            self.body = nn.SyncBatchNorm.convert_sync_batchnorm(self.body)  # type: ignore[no-untyped-call]
        self.register_buffer("counted", torch.zeros((), dtype=torch.int64))
        self.register_buffer("flags", torch.zeros(3, dtype=torch.bool))

    def forward(self, inputs: Tensor) -> Tensor:
        """Predicts both targets and notes by which worker it was trained."""
        if self.training:
            self.counted += 1 + dist.get_rank()
            self.flags[dist.get_rank()] = True
        return super().forward(inputs)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A trial, trained to an evaluation.

    Attributes:
        order: The trial.
        kind: Its network.
        reached: Samples of the last report that is known; the session goes on from the checkpoint there.
        until: Samples of the last evaluation.
    """

    order: TrialOrder
    kind: Kind = "toy"
    reached: int = 0
    until: int = 128


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a run on one worker.

    Attributes:
        metrics: Those of each evaluation.
        apart: Weights and buffers of this worker before the first evaluation.
        joined: Those with which the model was evaluated.
        state: Weights and buffers in the end.
    """

    metrics: list[Mapping[str, float]]
    apart: Mapping[str, Tensor] = field(default_factory=dict)
    joined: Mapping[str, Tensor] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)


@contextmanager
def network(kind: Kind) -> Iterator[None]:
    """Lets the toy family train another network."""
    if kind == "toy":
        yield
        return
    with patch.object(ToyTask, "build", lambda task, data: Normed(kind)):
        yield


def train(run: Run, world: ProcessGroup) -> Result:
    """Trains a run; every worker calls."""
    looks: list[dict[str, Tensor]] = []
    unite = buffers.unite

    def look(module: nn.Module) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in module.named_buffers()}

    def watched(module: nn.Module, world: ProcessGroup, share: int) -> None:
        looks.append(look(module))
        unite(module, world, share)
        looks.append(look(module))

    with network(run.kind), patch.object(buffers, "unite", watched):
        session = Session(run.order, world, DataCache())
        reached = run.reached
        metrics: list[Mapping[str, float]] = []
        while reached < run.until:
            report = session.advance(reached)
            metrics.append(dict(report.metrics))
            reached = report.samples
        state = engine.full_weights(session._engine)
        session.close()
    return Result(metrics=metrics, apart=looks[0], joined=looks[1], state=state)


def launched(runs: Mapping[str, Run]) -> dict[str, tuple[Result, Result]]:
    """Trains runs on two workers; returns by name what each of them made of it."""
    first, second = on_workers(2, all_of, runs)
    return {name: (first[name], second[name]) for name in runs}


def all_of(runs: Mapping[str, Run]) -> dict[str, Result]:
    """Trains runs; every worker calls."""
    world = join()
    engine.warm_up()  # as a lane does: the collection after each trial leaves out what was imported
    return {name: train(run, world) for name, run in runs.items()}


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Returns the norm of the difference of two states."""
    squares = [(first[name] - second[name]).double().square().sum() for name in first]
    return float(torch.stack(squares).sum().sqrt())


def main(folder: Path) -> None:
    """Trains what the folder holds."""
    runs: dict[str, Run] = pickle.loads((folder / "runs").read_bytes())
    # Plain dictionaries: this module has another name here.
    results = {name: vars(result) for name, result in all_of(runs).items()}
    (folder / f"rank-{dist.get_rank()}").write_bytes(pickle.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
