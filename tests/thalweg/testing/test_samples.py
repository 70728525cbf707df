"""Data that differ each time, and samples that depend on their batch, are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from families.toy.config import Toy
from families.toy.task import ToyTask, Waves
from thalweg.contract import Batch, Indices, Keys, SplitName
from thalweg.errors import FamilyError
from thalweg.stage_contract import Stage
from thalweg.testing.samples import check_opening, check_training_samples


class Centred(ToyTask):
    """Subtracts the mean of the batch."""

    def training_batch(self, data: Waves, indices: Indices, keys: Keys) -> Batch:
        """Draws samples that depend on one another."""
        batch = super().training_batch(data, indices, keys)
        return batch | {"inputs": batch["inputs"] - batch["inputs"].mean(0)}


class Staged(ToyTask):
    """Samples batches of its stage."""

    shift = 0.0

    def stages(self) -> tuple[Stage, ...]:
        """Returns the stage with its batch."""
        return tuple(replace(stage, batch=self.part) for stage in super().stages())

    def part(self, data: Waves, indices: Indices, keys: Keys) -> Batch:
        """Draws a part of each sample."""
        return {"inputs": self.training_batch(data, indices, keys)["inputs"] + self.shift}


class Restless(ToyTask):
    """Opens other data each time."""

    def open(self, root: Path) -> Waves:
        """Makes the data."""
        data, number = super().open(root), len(list(root.iterdir()))
        (root / str(number)).touch()
        data.fingerprint = f"waves-{number}"
        return data


class Empty(Waves):
    """Data without a validation split."""

    def num_samples(self, split: SplitName) -> int:
        """Number of samples in a split."""
        return 0 if split == "val" else super().num_samples(split)


def test_the_toy_passes(tmp_path: Path) -> None:
    task = ToyTask(Toy())
    data = task.open(tmp_path)
    check_opening(task, data, tmp_path)
    check_training_samples(task, data)


def test_a_sample_that_depends_on_its_batch_is_refused(tmp_path: Path) -> None:
    task = Centred(Toy())
    with pytest.raises(FamilyError, match="index and key alone, got 'inputs' of sample 2"):
        check_training_samples(task, task.open(tmp_path))


def test_batches_of_a_stage_are_a_part_of_those_of_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Staged(Toy())
    data = task.open(tmp_path)
    check_training_samples(task, data)
    monkeypatch.setattr(Staged, "shift", 1.0)
    with pytest.raises(FamilyError, match="must be parts of training_batch, got another 'inputs'"):
        check_training_samples(task, data)


def test_data_that_differ_each_time_are_refused(tmp_path: Path) -> None:
    task = Restless(Toy())
    with pytest.raises(FamilyError, match=r"fingerprint must be the same .* 'waves-0' and then 'waves-1'"):
        check_opening(task, task.open(tmp_path), tmp_path)


def test_data_without_a_validation_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FamilyError, match="the split 'val' must hold samples, got 0"):
        check_opening(ToyTask(Toy()), Empty(), tmp_path)
