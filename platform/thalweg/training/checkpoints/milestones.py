"""Milestones: what a trial was at the end of a stage, kept to be told beside what later stages made of it.

A checkpoint holds the weights of each milestone that later stages train, in ``milestones.pt``; the others are those of
the checkpoint itself. The metrics are in the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from thalweg.training.messages import Report
from thalweg.training.schedule import Plan

FILE = "milestones.pt"

Weights = Mapping[str, Tensor]


class Milestones:
    """The milestones of a trial so far.

    Attributes:
        metrics: Metrics at the end of each compared stage, by its name.
        weights: Weights then that later stages train, in fp32 on the CPU.
    """

    def __init__(self) -> None:
        self.metrics: dict[str, Mapping[str, float]] = {}
        self.weights: dict[str, Weights] = {}

    @classmethod
    def of(cls, report: Report | None) -> Milestones:
        """Returns the milestones of the checkpoint that a report names; none without one."""
        found = cls()
        if report is not None and report.checkpoint is not None:
            found.metrics, found.weights = dict(report.stages), read(Path(report.checkpoint))
        return found

    def reach(self, plan: Plan, number: int, metrics: Mapping[str, float], weights: Weights) -> None:
        """Keeps what the model is at the end of a stage, if the stage is compared.

        Args:
            plan: The stages.
            number: Number of the stage that ends.
            metrics: Metrics of the model.
            weights: All of its weights.
        """
        if not plan.stages[number].compared:
            return
        name = plan.stages[number].name
        trained = tuple(group.prefix for later in plan.stages[number + 1 :] for group in later.groups)
        self.metrics[name] = dict(metrics)
        self.weights[name] = {
            each: value.cpu() for each, value in weights.items() if each.startswith(trained)
        }

    def write(self, folder: Path) -> None:
        """Writes the weights into a checkpoint's folder; no file if there are none.

        Raises:
            OSError: They cannot be written.
            RuntimeError: The same, from torch's writer.
        """
        if self.weights:
            torch.save(self.weights, folder / FILE)


def read(folder: Path) -> dict[str, Weights]:
    """Returns the weights of the milestones in a checkpoint, by the stage's name."""
    file = folder / FILE
    return torch.load(file, map_location="cpu", weights_only=True) if file.exists() else {}
