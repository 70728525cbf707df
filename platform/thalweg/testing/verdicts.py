"""Verdicts of the contract suite on a family: every check runs, and what is wrong is named in a sentence."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thalweg.datasets.catalogue import data_root
from thalweg.datasets.making import existing
from thalweg.discovery import Family
from thalweg.errors import DiscoveryError, ThalwegError
from thalweg.testing.suite import WITH_DATA, WITHOUT_DATA, Check, Subject
from thalweg.training.guards.family_code import blaming
from thalweg.wording import as_seen

SMALL = "tiny"
"""How names of presets begin that are small enough to be checked."""
Outcome = Literal["passed", "failed", "not reached"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of a check.

    Attributes:
        check: Name of the check.
        outcome: Whether it passed; ``not reached`` if what it needs has failed.
        fault: What is wrong, in a sentence; empty if nothing is.
        seconds: Time that it took.
    """

    check: str
    outcome: Outcome
    fault: str = ""
    seconds: float = 0.0


def presets_to_check(family: Family, asked: Sequence[str] = ()) -> tuple[str, ...]:
    """Returns the presets that are checked: those asked for, else the small ones, else the first one.

    Raises:
        DiscoveryError: The family has no such preset, or none at all.
    """
    for name in asked:
        family.preset(name)
    if not family.presets:
        raise DiscoveryError(
            f"a family must have presets to be checked, got none in {family.name}; name some in PRESETS of config.py"
        )
    small = tuple(name for name in family.presets if name.startswith(SMALL))
    return tuple(asked) or small or (next(iter(family.presets)),)


@contextmanager
def subject_of(
    family: Family, preset: str, root: Path | None = None, ignore: frozenset[str] = frozenset()
) -> Iterator[Subject]:
    """Yields a preset of a family on its data set; a synthetic one is made anew, in a folder that is deleted then.

    Args:
        family: The family.
        preset: Name of the preset.
        root: Folder of all data, for a data set that is not synthetic.
        ignore: Names of tensors that may be equal in different samples; see `splits.check_splits`.

    Raises:
        DiscoveryError: There is no such preset, or no such data set although the family has others.
        TrialError: The code of the family raises.
    """
    config = family.preset(preset)
    with tempfile.TemporaryDirectory(prefix="thalweg-check-") as name, blaming(family.package):
        folder = data_root(family, root)
        if config.dataset in family.worlds:
            folder = Path(name)
            family.worlds[config.dataset].make(_empty(folder / config.dataset))
        elif family.worlds or family.sources:
            existing(family, config.dataset, root)
        yield Subject(family, family.task(config), folder, ignore)


def verdicts(subject: Subject) -> Iterator[Verdict]:
    """Yields the verdict of each check on a subject, as soon as it is known."""
    for check in WITHOUT_DATA:
        yield judged(check, subject)
    opened = judged(_data_open, subject)
    if opened.outcome == "passed":
        for check in WITH_DATA:
            yield judged(check, subject)
    else:
        yield opened
        yield from (Verdict(check=check.__name__, outcome="not reached") for check in WITH_DATA)


def judged(check: Check, subject: Subject) -> Verdict:
    """Runs a check; whatever it raises becomes the sentence of its verdict."""
    began = time.perf_counter()
    fault = ""
    try:
        with blaming(subject.family.package):
            check(subject)
    except Exception as error:
        fault = sentence_of(error)
    return Verdict(
        check=check.__name__,
        outcome="failed" if fault else "passed",
        fault=fault,
        seconds=time.perf_counter() - began,
    )


def _data_open(subject: Subject) -> None:
    """Opens the data set."""
    assert subject.data is not None


_data_open.__name__ = "the_data_set_opens"


def sentence_of(error: Exception) -> str:
    """Returns the message of an error; for one that is not Thalweg's own also its kind and place."""
    if isinstance(error, ThalwegError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} in {as_seen(last.filename)}:{last.lineno}"


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder
