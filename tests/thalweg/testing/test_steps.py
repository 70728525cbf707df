"""Stages that do not fit the model, and losses that depend on how a batch is cut, are refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from families.toy.config import Toy
from families.toy.joint_losses import SupCon
from families.toy.task import SquaredErrors, ToyTask, hidden
from thalweg.contract import Batch
from thalweg.errors import ConfigError, FamilyError, ThalwegError
from thalweg.stage_contract import ParameterGroup, Progress, Rows, Stage
from thalweg.testing.steps import check_losses, check_stages

Check = Callable[[Any, Any], None]


class Changed(ToyTask):
    """Has one stage that is changed.

    Args:
        changes: Fields of the stage.
    """

    def __init__(self, **changes: Any) -> None:
        super().__init__(Toy())
        self._changes = changes

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stage."""
        return (replace(super().stages()[0], **self._changes),)


class Means(SquaredErrors):
    """Takes means in place of sums."""

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Means of the batch."""
        parts = super().parts(model, batch, progress)
        return {name: part / len(batch["inputs"]) for name, part in parts.items()}


class One(SquaredErrors):
    """Counts a batch as one."""

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """1 each."""
        return {"first": 1.0, "second": 1.0}


class Uncounted(SquaredErrors):
    """Counts one part of two."""

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """The first."""
        return {"first": 1.0}


class Wide(SquaredErrors):
    """Sums in fp64."""

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums of the batch."""
        return {name: part.double() for name, part in super().parts(model, batch, progress).items()}


class Centred(SupCon):
    """Subtracts the mean of a micro-batch."""

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Rows that depend on one another."""
        rows = {name: values - values.mean(0) for name, values in hidden(model, batch).items()}
        return replace(super().embed(model, batch, progress), embeddings=rows)


class Numbered(SupCon):
    """Numbers the samples of a micro-batch."""

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Rows with a companion that is not the sample's own."""
        rows = super().embed(model, batch, progress)
        number = torch.arange(len(batch["inputs"]))
        return replace(rows, companions={**rows.companions, "number": number})


@pytest.mark.parametrize("stages", ["one", "two", "joint"])
def test_the_toy_passes(stages: str, tmp_path: Path) -> None:
    task = ToyTask(Toy.model_validate({"stages": stages}))
    check_stages(task, task.open(tmp_path))
    check_losses(task, task.open(tmp_path))


@pytest.mark.parametrize(
    ("check", "changes", "error", "law"),
    [
        (check_stages, {"share": 0.5}, ConfigError, r"add up to 1, got \[0\.5\]"),
        (check_stages, {"frozen": ("tail",)}, ConfigError, r"must exist, got 'tail'"),
        (
            check_stages,
            {"teaches": ("skill",)},
            FamilyError,
            r"must teach metrics of the task's measures, got 'skill' in stage 'train'",
        ),
        (
            check_stages,
            {"groups": (ParameterGroup(prefix="tail"),)},
            ConfigError,
            r"train something, got 'tail'",
        ),
        (
            check_stages,
            {"loss": SupCon()},
            FamilyError,
            r"a part in its loss, got head\.weight, head\.bias in stage 'train'; name narrower",
        ),
        (
            check_losses,
            {"loss": Means(Toy())},
            FamilyError,
            r"sum over samples, got a mean, .* for 'first' in stage 'train'",
        ),
        (
            check_losses,
            {"loss": One(Toy())},
            FamilyError,
            r"the count of a part must .* got 1\.0 .* 2\.0 in two",
        ),
        (
            check_losses,
            {"loss": Uncounted(Toy())},
            FamilyError,
            r"got parts first, second, counts first, weights first, second in stage 'train'",
        ),
        (
            check_losses,
            {"loss": Wide(Toy())},
            FamilyError,
            r"scalar in fp32, got torch\.float64 of shape \(\)",
        ),
        (check_losses, {"loss": Centred()}, FamilyError, r"its sample alone, got other embeddings 'sample'"),
        (check_losses, {"loss": Numbered()}, FamilyError, r"its sample alone, got other companions 'number'"),
    ],
)
def test_what_breaks_the_contract_is_refused(
    check: Check, changes: dict[str, Any], error: type[ThalwegError], law: str, tmp_path: Path
) -> None:
    task = Changed(**changes)
    with pytest.raises(error, match=law):
        check(task, task.open(tmp_path))
