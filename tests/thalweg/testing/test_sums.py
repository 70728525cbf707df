"""Measures that keep means, sum in single precision or leave metrics out are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from families.toy.config import LossWeights, Toy
from families.toy.task import Errors, ToyTask
from thalweg.contract import Batch, Measure, Outputs, State
from thalweg.errors import FamilyError
from thalweg.per_unit import PerUnit
from thalweg.testing.sums import check_metrics, check_states

HERE = Path(__file__).name


class Squares(Errors):
    """Changes what the toy's measure keeps."""

    def __init__(self, change: Callable[[torch.Tensor], Any], name: str = "first") -> None:
        super().__init__(LossWeights())
        self._change, self._name = change, name

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """The state with one entry that is another."""
        errors = outputs["targets"] - batch["targets"]
        return {**super().add(outputs, batch), self._name: self._change(errors)}


class Silent(Errors):
    """Leaves a metric out."""

    def summarize(self, state: State) -> dict[str, float]:
        """All but one."""
        found = super().summarize(state)
        del found["mse_second"]
        return found


class Measured(ToyTask):
    """The toy with another measure."""

    def __init__(self, measure: Measure) -> None:
        super().__init__(Toy())
        self._measure = measure

    def measures(self) -> tuple[Measure, ...]:
        """The measure."""
        return (self._measure,)


def test_the_toy_passes(tmp_path: Path) -> None:
    task = ToyTask(Toy())
    check_states(task, task.open(tmp_path))
    check_metrics(task, task.open(tmp_path))


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (lambda errors: errors.double().mean(0), r"must add up over batches, got \S+, \S+ for 'first' of"),
        (lambda errors: errors.square().sum(0), rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: errors.square().sum(0).double(), rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: torch.mean(errors, dim=0).double(), rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: errors.new_zeros(2).index_add_(0, torch.zeros(8).long(), errors[:, 0])[:1]
         if len(errors) == 8 else errors[:1, 0], rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: errors.T @ errors, rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: torch.sum(input=errors, dim=0).double(), rf"in single precision in \S*{HERE}:\d+ of"),
        (lambda errors: mse_loss(errors, 0 * errors, reduction="sum").double(), rf"in single precision in \S*{HERE}"),
        (lambda errors: cross_entropy(errors, (errors[:, 0] > 0).long()).double(), rf"single precision in \S*{HERE}"),
        (lambda errors: torch.einsum("bi,bj->ij", errors, errors).double(), rf"in single precision in \S*{HERE}"),
        (lambda errors: torch.mv(errors.T, errors[:, 0]).double(), rf"in single precision in \S*{HERE}"),
        (lambda errors: errors.abs().cumsum(0)[-1], r"in float64, got torch\.float32 for 'first' of"),
        (lambda errors: errors.double().max(), r"must add up over batches"),
        (lambda errors: 3.0, r"must be tensors or tables of units, in every batch, got float for 'first'"),
        (
            lambda errors: PerUnit.of(torch.arange(len(errors)), errors.double().square()),
            r"must add up over batches, got .* for 'first' of",
        ),
    ],
)  # fmt: skip
def test_an_entry_that_is_no_sum_is_refused(change: Callable[[Any], Any], law: str, tmp_path: Path) -> None:
    task = Measured(Squares(change))
    with pytest.raises(FamilyError, match=law):
        check_states(task, task.open(tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        lambda errors: (errors > 0).float().sum(0),  # counts are exact in single precision
        lambda errors: errors.square().sum(1).double().sum(),  # over targets, not over samples
        lambda errors: errors.double().square().sum(0),
        lambda errors: errors.double().T @ errors.double(),
        lambda errors: mse_loss(errors, 0 * errors, reduction="none").double().sum(0),
        lambda errors: (errors @ errors.new_full((2, 8), 0.3)).double().sum(0),  # 8 is a width, not the batch
        lambda errors: (
            ((errors @ errors.new_full((2, 8), 0.3)) @ errors.new_full((8, 3), 0.3)).double().sum(0)
        ),
    ],
)
def test_sums_that_are_exact_or_within_a_sample_pass(change: Callable[[Any], Any], tmp_path: Path) -> None:
    task = Measured(Squares(change, "more"))
    check_states(task, task.open(tmp_path))


def test_rows_that_depend_on_their_batch_are_refused(tmp_path: Path) -> None:
    task = Measured(Squares(lambda errors: (errors - errors.double().mean(0))[:, 0], "errors"))
    with pytest.raises(FamilyError, match=r"must add up over batches, got .* for 'errors'"):
        check_states(task, task.open(tmp_path))


def test_a_declared_metric_that_is_not_given_is_named(tmp_path: Path) -> None:
    task = Measured(Silent(LossWeights()))
    with pytest.raises(FamilyError, match=r"every metric that it declares, got no mse_second; return nan"):
        check_metrics(task, task.open(tmp_path))


def test_a_family_without_a_metric_to_search_by_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Errors, "metrics", Errors.metrics[1:])
    task = ToyTask(Toy())
    with pytest.raises(
        FamilyError, match=r"mean the same in every trial, .* got loss, mse_first, mse_second"
    ):
        check_metrics(task, task.open(tmp_path))
