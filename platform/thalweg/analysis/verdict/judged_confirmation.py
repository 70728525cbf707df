"""Confirmations as their folders hold them: the record, the best baseline, and the verdict so far."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from thalweg.analysis.comparison import BestBaseline, Comparison
from thalweg.analysis.declared import family_of
from thalweg.analysis.verdict.confirmed import Confirmed, judge
from thalweg.analysis.verdict.sealed_split import judged_before
from thalweg.errors import StudyError
from thalweg.search.confirmation.confirmation import Confirmation, plans_of
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.study_folder import StudyFolder
from thalweg.training import baselines


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

    The third is the verdict on the split ``test``, if that was read.

    Args:
        search: The study.
        output: Folder of all studies.
        storage: Database that holds them; None for their journals.
    """
    for folder, plan in plans_of(search.name, output):
        found, own = judged(plan, search, folder, storage)
        if own is not None and any(one.trials for one in found.repeated):
            yield folder.name, found, judged_before(found, own, search, folder)
