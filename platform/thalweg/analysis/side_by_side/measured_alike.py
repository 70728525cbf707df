"""Whether the numbers of trials may be compared: one objective, one evaluation protocol, the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from thalweg.analysis.declared import metrics_of
from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.knob_differences import ABSENT, knob_differences
from thalweg.config import nested_leaves
from thalweg.errors import StudyError
from thalweg.search.store.records import StudyRecord
from thalweg.wording import some

MAX_NAMED = 6
"""Differences that are named; more are counted."""
_DATA = "data"  # the fingerprint's name in a protocol


def check_measured_alike(sides: Sequence[Side]) -> None:
    """Refuses trials whose numbers mean different things.

    Args:
        sides: The trials.

    Raises:
        StudyError: They differ in objective, in what a metric is, in evaluation protocol or in data; the message names
            what differs.
    """
    studies = list({side.study.name: side.study for side in sides}.values())
    known = {side.study.name: side.protocol for side in sides}
    if len(set(known.values())) > 1:
        raise StudyError(
            f"trials must be measured at one evaluation protocol to be compared, got {_hashes(known)}, which differ "
            f"in {_difference(studies)}; {_WAY_OUT}"
        )
    if len(studies) > 1 and None in known.values():
        raise StudyError(
            f"trials of several studies must record their evaluation protocol to be compared, got "
            f"{' and '.join(known)} without: an earlier version of Thalweg ran them; {_WAY_OUT}"
        )
    _check_objectives(studies)
    _check_metrics(studies)


_WAY_OUT = (
    "compare trials that were evaluated alike, or give --configuration-only to see how their settings differ"
)


def _check_objectives(studies: Sequence[StudyRecord]) -> None:
    told = {study.name: f"{study.definition['metric']} ({study.mode})" for study in studies}
    if len(set(told.values())) > 1:
        got = ", ".join(f"{objective} in {name}" for name, objective in told.items())
        raise StudyError(
            f"trials must have one objective to be compared, got {got}; name a metric that all of them have with "
            "--metric, or give --configuration-only to see how their settings differ"
        )


def _check_metrics(studies: Sequence[StudyRecord]) -> None:
    if len(studies) < 2:
        return
    known: dict[str, tuple[str, str]] = {}
    for study in studies:
        for metric in metrics_of(study):
            declared = (metric.mode, metric.unit)
            if known.setdefault(metric.name, declared) != declared:
                first, other = (f"{unit} ({mode})" for mode, unit in (known[metric.name], declared))
                raise StudyError(
                    f"a metric must mean one thing to be compared, got {metric.name} in {first} and, in {study.name}, "
                    f"in {other}; {_WAY_OUT}"
                )


def _hashes(known: Mapping[str, str | None]) -> str:
    return " and ".join(f"{hash_ or 'none'} ({name})" for name, hash_ in known.items())


def _difference(studies: Sequence[StudyRecord]) -> str:
    """Returns in what protocols differ, in words."""
    families = dict.fromkeys(str(study.definition["family"]) for study in studies)
    if len(families) > 1:
        return f"their families, {' and '.join(families)}"
    if not all(study.protocol for study in studies):
        datasets = dict.fromkeys(filter(None, map(_dataset, studies)))
        if len(datasets) > 1:
            return f"their data sets, {' and '.join(datasets)}"
        return "what an earlier version of Thalweg did not record: their data, or how they were evaluated"
    return differing([study.protocol for study in studies])


def differing(protocols: Sequence[Mapping[str, Any]]) -> str:
    """Returns in what evaluation protocols differ, in words.

    Args:
        protocols: What each consists of, as records hold it.
    """
    rows = knob_differences([nested_leaves(protocol, keep_empty=True) for protocol in protocols])
    rows.sort(key=lambda row: row.name != _DATA)
    told = [f"{_word(row.name)} ({' and '.join(map(_told, row.values))})" for row in rows]
    return some(told, MAX_NAMED) or "their evaluation"


def _dataset(study: StudyRecord) -> str | None:
    return next((trial.config.get("dataset") for trial in study.trials if trial.config), None)


def _word(name: str) -> str:
    return "the data's fingerprint" if name == _DATA else name


def _told(value: object) -> str:
    text = "absent" if value is ABSENT else "none" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:20]}..."
