"""Checks of spaces that passed before: a search does not repeat one if nothing that it depends on has changed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from threading import Event

from pydantic import BaseModel

from thalweg.disk.remembered import remembered
from thalweg.hashing import digest
from thalweg.search.checks.check_space import BEFORE_SEARCH, Checked, check_beside
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Judgement

_READ_BY_NO_CHECK = {"num_trials", "num_lanes", "max_hours", "gpus_per_worker", "learn_from"}
"""Settings of a study that a command often changes, and that do not change what the checks find."""


class KeptCheck(BaseModel):
    """A check that ended.

    Attributes:
        at: When, for people.
        told: What it told, a sentence each.
        is_whole: Whether nothing was left out.
    """

    at: str
    told: tuple[str, ...]
    is_whole: bool


def checked(examined: Examined, called_off: Event) -> tuple[str, ...]:
    """Checks a space, or says that it was checked before; returns what is told, a sentence each.

    A check is repeated if the space, its study, a module of the family, of Thalweg or of another folder than that of
    installed packages, an installed version, or the data have changed, and if anything was left out for time.

    Args:
        examined: The space.
        called_off: Ends the check early if another thread sets it.

    Raises:
        SpaceError: As `check_before_search` does.
    """
    return _remembered(examined, lambda: check_beside(examined, called_off))


def remember(examined: Examined, judgements: Collection[Judgement]) -> None:
    """Lets searches know of a check that passed whole.

    Args:
        examined: The space.
        judgements: What all checks found in it.
    """
    passed = {each.check for each in judgements if each.mark == "passed" and not each.skipped}
    if not examined.ignore and passed.issuperset(("valid", *BEFORE_SEARCH)):
        _remembered(examined, lambda: Checked((), is_whole=True))


def _remembered(examined: Examined, find: Callable[[], Checked]) -> tuple[str, ...]:
    """Returns what a check tells, and if it was made before, when that was."""
    if examined.prepared.config.starts_from:  # what it inherits is in another study
        return find().told
    now = datetime.now().isoformat()

    def kept() -> KeptCheck:
        found = find()
        return KeptCheck(at=now, told=found.told, is_whole=found.is_whole)

    found = remembered(
        KeptCheck, examined.family.package, _question(examined), kept, lambda each: each.is_whole
    )
    if found.at == now:
        return found.told
    when = datetime.fromisoformat(found.at)
    again = (
        f"the space was checked on {when:%Y-%m-%d at %H:%M}, and nothing that the check depends on has changed since: "
        "it is not checked again"
    )
    return (again, *found.told)


def _question(examined: Examined) -> str:
    """Returns what is checked: the space, its study and its data."""
    space, prepared = examined.space, examined.prepared
    study = space.study.model_dump(mode="json", exclude=_READ_BY_NO_CHECK)
    is_grid = len(space.study.first_trials) >= space.study.num_trials
    facts = {
        "space": space.module_name,
        "text": space.file.read_text(encoding="utf-8"),
        "overrides": repr(sorted(space.overrides.items())),
        "study": study,
        "is_grid": is_grid,
        "data": [str(prepared.data_root), prepared.tags["data_set"], prepared.tags["data_fingerprint"]],
    }
    return f"check before a search {digest(facts, 32)}"
