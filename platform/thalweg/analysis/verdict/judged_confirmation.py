"""Confirmations as their folders hold them: the record, the best baseline, and the verdict so far."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from thalweg.analysis.comparison import BestBaseline, Comparison
from thalweg.analysis.declared import family_of
from thalweg.analysis.side_by_side.measured_alike import differing
from thalweg.analysis.verdict.confirmed import Confirmed, judge
from thalweg.analysis.verdict.sealed_split import judged_before
from thalweg.errors import StudyError
from thalweg.search.confirmation.confirmation import Confirmation, plans_of
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines
from thalweg.wording import counted, some


def own_record(directory: Path, storage: str | None = None) -> StudyRecord | None:
    """Returns a confirmation as far as it has come; None before it has begun.

    Args:
        directory: Its folder, which bears its name.
        storage: Database that holds it; None for its journal.
    """
    try:
        return read_study(directory, directory.name, storage)
    except StudyError:  # opening it for the runs says what is wrong, if anything is
        return None


def best_baseline(search: StudyRecord, directory: Path) -> BestBaseline | None:
    """Returns the best baseline that a confirmation has evaluated; ``directory`` is its folder."""
    found = baselines.read(StudyFolder(directory).checkpoints) or {}
    metric = str(search.definition["metric"])
    return Comparison(found, search.metrics, metric, search.mode).best(metric)


def check_measured_alike(search: StudyRecord, protocol: str, parts: Mapping[str, Any]) -> None:
    """Refuses to confirm a search by other data, or by another measure, than those that its trials were chosen by.

    Args:
        search: The study.
        protocol: Hash of the evaluation protocol that its confirmation would have.
        parts: What that protocol consists of.

    Raises:
        StudyError: It differs from the study's; the message names in what.
    """
    known = next((trial.protocol for trial in search.trials if trial.protocol), protocol)
    if known == protocol:
        return
    here = json.loads(json.dumps(parts))  # as a record holds it, with lists for tuples
    what = differing([search.protocol, here]) if search.protocol else "what its record does not hold"
    raise StudyError(
        f"a confirmation must be measured as its search was, got the evaluation protocol {protocol}, where "
        f"{search.name!r} has {known}: they differ in {what}; put back the data and the version of the family that it "
        "was searched with, or search under another name and confirm that"
    )


def code_changed(search: StudyRecord, now: Mapping[str, str]) -> Iterator[str]:
    """Yields a sentence if code has changed since a search.

    Args:
        search: The study.
        now: Hash of each module of family and space.
    """
    changed = sorted(name for name in {*search.code, *now} if search.code.get(name) != now.get(name))
    if search.code and changed:
        yield (
            f"{counted(len(changed), 'module')} changed since the last trial of {search.name!r}: {some(changed)}; all "
            "runs train the code as it is now, with which the search might have chosen others"
        )


def judged(
    plan: Confirmation, search: StudyRecord, directory: Path, storage: str | None = None
) -> tuple[Confirmed, StudyRecord | None]:
    """Returns the verdict on validation, over seeds and over units, and the record; None before it has begun.

    Args:
        plan: The plan of the confirmation.
        search: The study that it confirms.
        directory: Its folder.
        storage: Database that holds it; None for its journal.

    Raises:
        DiscoveryError: The family of the study cannot be found from here.
    """
    own = own_record(directory, storage)
    found = judge(plan, own, search, best_baseline(search, directory))
    if own is None:
        return found, None
    from thalweg.analysis.verdict.kept_units import compare_over_units  # torch

    return compare_over_units(found, directory, family_of(search)), own


def confirmations(
    search: StudyRecord, output: Path, storage: str | None = None
) -> Iterator[tuple[str, Confirmed, Confirmed | None]]:
    """Yields the confirmations of a study that have runs, with their names and their verdicts on validation.

    The third is the verdict on the split ``test``, if that was read. Those of an earlier study with this name do not
    count.

    Args:
        search: The study.
        output: Folder of all studies.
        storage: Database that holds them; None for their journals.
    """
    for folder, plan in plans_of(search.name, output):
        if not plan.is_of(search):
            continue
        found, own = judged(plan, search, folder, storage)
        if own is not None and any(one.trials for one in found.repeated):
            yield folder.name, found, judged_before(found, own, search, folder)
