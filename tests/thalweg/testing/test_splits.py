"""What counts as a sample that two splits have in common."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from families.toy.config import Toy
from families.toy.task import ToyTask, Waves
from thalweg.contract import Batch, Data, Indices, Keys, SplitName
from thalweg.errors import FamilyError
from thalweg.testing.splits import check_splits

LENGTH, WIDTH = 4, 12


class FromVal(ToyTask):
    """Draws what is to be learnt from the validation split."""

    def training_batch(self, data: Waves, indices: Indices, keys: Keys) -> Batch:
        """Takes the targets of validation samples, again and again."""
        batch = super().training_batch(data, indices, keys)
        other = self.evaluation_batch(data, "val", indices % data.num_samples("val"))
        return batch | {"targets": other["targets"]}


class OneFromTest(ToyTask):
    """Draws a single sample of the test split."""

    def training_batch(self, data: Waves, indices: Indices, keys: Keys) -> Batch:
        """Takes another sample for the last one."""
        batch = super().training_batch(data, indices, keys)
        batch["targets"][indices == 95] = self.evaluation_batch(data, "test", np.array([1]))["targets"]
        return batch


@pytest.fixture
def waves(tmp_path: Path) -> Waves:
    """The toy's data."""
    return ToyTask(Toy()).open(tmp_path)


def test_splits_of_the_toy_have_nothing_in_common(waves: Waves) -> None:
    check_splits(ToyTask(Toy()), waves)


@pytest.mark.parametrize(("mutant", "split"), [(FromVal, "val"), (OneFromTest, "test")])
def test_training_on_another_split_is_found(mutant: type[ToyTask], split: str, waves: Waves) -> None:
    with pytest.raises(FamilyError, match=rf"'targets' of sample \d+ from training_batch.* of {split};"):
        check_splits(mutant(Toy()), waves)


class Days:
    """Windows of days, cut from one series of fields; each split has its own years."""

    fingerprint = "days"
    notes: tuple[str, ...] = ()

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.fields = generator.standard_normal((60, WIDTH)).astype(np.float32)
        self.starts: dict[SplitName, Indices] = {
            "train": np.arange(0, 27, 2),
            "val": np.arange(30, 43, 3),
            "test": np.arange(46, 57, 3),
        }

    def num_samples(self, split: SplitName) -> int:
        """Number of windows."""
        return len(self.starts[split])


class Windows:
    """Draws windows of days, with what all windows have and what equals by chance."""

    def __init__(self, change: Callable[[Batch, Keys], Batch] = lambda batch, keys: batch) -> None:
        self._change = change

    def _batch(self, data: Data, split: SplitName, indices: Indices) -> Batch:
        assert isinstance(data, Days)
        days = data.starts[split][indices][:, None] + np.arange(LENGTH)
        return {
            "fields": torch.from_numpy(data.fields[days]),
            "day_of_year": torch.from_numpy(days % 30),
            "observed": torch.from_numpy((days % 7 > 0).astype(np.float32)),
            "elevation": torch.from_numpy(data.fields[0]).expand(len(indices), WIDTH),
        }

    def training_batch(self, data: Data, indices: Indices, keys: Keys) -> Batch:
        """Draws training windows, changed."""
        return self._change(self._batch(data, "train", indices), keys)

    def evaluation_batch(self, data: Data, split: SplitName, indices: Indices) -> Batch:
        """Draws windows."""
        return self._batch(data, split, indices)


def test_overlaps_within_a_split_masks_dates_and_static_attributes_are_no_leak() -> None:
    check_splits(Windows(), Days())


def test_windows_that_reach_one_day_into_another_split_are_found() -> None:
    data = Days()
    data.starts["train"] = np.append(data.starts["train"], 27)  # days 27 to 30
    with pytest.raises(
        FamilyError, match=r"'fields' of sample 14 at place 3 of axis 1 .* sample 0 of val at place 0;"
    ):
        check_splits(Windows(), data)


def test_a_day_that_validation_and_test_have_in_common_is_found() -> None:
    data = Days()
    data.starts["test"] = data.starts["test"] - 1
    with pytest.raises(FamilyError, match="from evaluation_batch of val, which is that of sample 0 of test"):
        check_splits(Windows(), data)


def test_a_tensor_whose_equal_values_say_nothing_can_be_ignored() -> None:
    class Seasons(Windows):
        def _batch(self, data: Data, split: SplitName, indices: Indices) -> Batch:
            batch = super()._batch(data, split, indices)
            return batch | {"season": torch.sin(batch["day_of_year"].float() + 0.5)}

    with pytest.raises(FamilyError, match="name 'season' in ignore"):
        check_splits(Seasons(), Days())
    check_splits(Seasons(), Days(), ignore=frozenset({"season"}))


def test_days_that_masks_of_the_key_leave_alone_are_compared() -> None:
    def masked(batch: Batch, keys: Keys) -> Batch:
        fields = batch["fields"].clone()
        fields[np.arange(len(keys)), torch.from_numpy((keys % np.uint64(LENGTH)).astype(np.int64))] = 0
        return batch | {"fields": fields}

    data = Days()
    check_splits(Windows(masked), data)
    data.starts["train"] = data.starts["train"] + 3
    with pytest.raises(FamilyError, match="'fields'"):
        check_splits(Windows(masked), data)


def test_samples_that_cannot_be_told_apart_are_refused() -> None:
    def noisy(batch: Batch, keys: Keys) -> Batch:
        noise = torch.from_numpy(keys.astype(np.float32))[:, None, None]
        return batch | {"fields": batch["fields"] + noise, "elevation": batch["elevation"][:, :1]}

    with pytest.raises(
        FamilyError, match="training samples must be known again in evaluation_batch of train"
    ):
        check_splits(Windows(noisy), Days())
