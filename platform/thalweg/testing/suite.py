"""The contract suite: all checks of a family, for the tests of a family outside this repository.

For example, with pytest::

    SUBJECT = Subject.open(MyTask(PRESETS["tiny"]), Path("data/my_family"))

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_family_keeps_the_contract(check): check(SUBJECT)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.contract import Data, Task
from thalweg.discovery import Family, load_family
from thalweg.testing import configs, samples, splits, steps


@dataclass(frozen=True)
class Subject:
    """A family with one configuration on its data.

    Attributes:
        family: The family.
        task: The configuration's task.
        data: What the task opened.
        root: The family's data folder.
        ignore: Names of tensors that may be equal in different samples; see `splits.check_splits`.
    """

    family: Family
    task: Task[Any, Any]
    data: Data
    root: Path
    ignore: frozenset[str] = frozenset()

    @classmethod
    def open(cls, task: Task[Any, Any], root: Path, ignore: frozenset[str] = frozenset()) -> Subject:
        """Opens the data of a task.

        Args:
            task: The task of a configuration: the smallest one that uses everything to be checked.
            root: The family's data folder.
            ignore: Names of tensors that may be equal in different samples.
        """
        return cls(load_family(type(task.config)), task, task.open(root), root, ignore)


def presets_survive_json(subject: Subject) -> None:
    """Checks `configs.check_presets`."""
    configs.check_presets(subject.family)


def every_knob_has_a_sentence(subject: Subject) -> None:
    """Checks `configs.check_sentences`."""
    configs.check_sentences(subject.family)


def opening_twice_gives_equal_data(subject: Subject) -> None:
    """Checks `samples.check_opening`."""
    samples.check_opening(subject.task, subject.data, subject.root)


def a_training_sample_depends_on_its_index_and_key_alone(subject: Subject) -> None:
    """Checks `samples.check_training_samples`."""
    samples.check_training_samples(subject.task, subject.data)


def splits_have_nothing_in_common(subject: Subject) -> None:
    """Checks `splits.check_splits`."""
    splits.check_splits(subject.task, subject.data, subject.ignore)


def stages_train_what_the_model_has(subject: Subject) -> None:
    """Checks `steps.check_stages`."""
    steps.check_stages(subject.task, subject.data)


def losses_are_the_same_however_a_batch_is_cut(subject: Subject) -> None:
    """Checks `steps.check_losses`."""
    steps.check_losses(subject.task, subject.data)


CHECKS: tuple[Callable[[Subject], None], ...] = (
    presets_survive_json,
    every_knob_has_a_sentence,
    opening_twice_gives_equal_data,
    a_training_sample_depends_on_its_index_and_key_alone,
    splits_have_nothing_in_common,
    stages_train_what_the_model_has,
    losses_are_the_same_however_a_batch_is_cut,
)
