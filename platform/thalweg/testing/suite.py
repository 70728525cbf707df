"""The contract suite: all checks of a family, also of one outside this repository.

``thalweg check FAMILY`` runs it in a terminal, ``pytest --thalweg-check FAMILY`` beside the family's own tests. A test
may also run it by itself::

    SUBJECT = Subject.open(MyTask(PRESETS["tiny"]), Path("data/my_family"))

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_my_family_keeps_the_contract(check): check(SUBJECT)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from thalweg.contract import Data, Task
from thalweg.discovery import Family, load_family
from thalweg.testing import configs, samples, splits, steps, sums


@dataclass(frozen=True)
class Subject:
    """A family with one configuration on its data.

    Attributes:
        family: The family.
        task: The configuration's task.
        root: The family's data folder.
        ignore: Names of tensors that may be equal in different samples; see `splits.check_splits`.
    """

    family: Family
    task: Task[Any, Any]
    root: Path
    ignore: frozenset[str] = frozenset()

    @cached_property
    def data(self) -> Data:
        """What the task opened."""
        opened: Data = self.task.open(self.root)
        return opened

    @classmethod
    def open(cls, task: Task[Any, Any], root: Path, ignore: frozenset[str] = frozenset()) -> Subject:
        """Opens the data of a task.

        Args:
            task: The task of a configuration: the smallest one that uses everything to be checked.
            root: The family's data folder.
            ignore: Names of tensors that may be equal in different samples.
        """
        subject = cls(load_family(type(task.config)), task, root, ignore)
        samples.check_data(subject.data)
        return subject


Check: TypeAlias = Callable[[Subject], None]


def presets_survive_json(subject: Subject) -> None:
    """Checks `configs.check_presets`."""
    configs.check_presets(subject.family)


def every_knob_has_a_sentence(subject: Subject) -> None:
    """Checks `configs.check_sentences`."""
    configs.check_sentences(subject.family)


def listing_imports_nothing_heavy(subject: Subject) -> None:
    """Checks `configs.check_light`."""
    configs.check_light(subject.family)


def a_model_is_built_without_data(subject: Subject) -> None:
    """Checks `steps.check_reference`."""
    steps.check_reference(subject.task)


def data_are_known_by_key_and_fingerprint(subject: Subject) -> None:
    """Checks `samples.check_data` and `samples.check_data_key`."""
    samples.check_data(subject.data)
    samples.check_data_key(subject.task, subject.data, subject.root)


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


def measures_are_the_same_however_a_split_is_cut(subject: Subject) -> None:
    """Checks `sums.check_states`."""
    sums.check_states(subject.task, subject.data)


def every_declared_metric_is_given(subject: Subject) -> None:
    """Checks `sums.check_metrics`."""
    sums.check_metrics(subject.task, subject.data)


WITHOUT_DATA: tuple[Check, ...] = (
    presets_survive_json,
    every_knob_has_a_sentence,
    listing_imports_nothing_heavy,
    a_model_is_built_without_data,
)
"""Checks that do not open the data set."""
WITH_DATA: tuple[Check, ...] = (
    data_are_known_by_key_and_fingerprint,
    opening_twice_gives_equal_data,
    a_training_sample_depends_on_its_index_and_key_alone,
    splits_have_nothing_in_common,
    stages_train_what_the_model_has,
    losses_are_the_same_however_a_batch_is_cut,
    measures_are_the_same_however_a_split_is_cut,
    every_declared_metric_is_given,
)
CHECKS: tuple[Check, ...] = (*WITHOUT_DATA, *WITH_DATA)
