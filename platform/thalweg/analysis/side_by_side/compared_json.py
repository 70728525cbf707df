"""Comparisons as JSON, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thalweg.analysis.side_by_side.chosen_trials import Side
from thalweg.analysis.side_by_side.knob_differences import ABSENT, KnobDifference
from thalweg.analysis.side_by_side.options_compared import Branch, OptionsCompared
from thalweg.analysis.side_by_side.study_settings import StudiesCompared
from thalweg.analysis.side_by_side.trials_compared import Measured, TrialsCompared

if TYPE_CHECKING:  # torch takes seconds
    from thalweg.analysis.verdict.unit_scope import UnitFinding


def trials_as_json(
    compared: TrialsCompared,
    studies: StudiesCompared | None = None,
    over_units: Mapping[str, Sequence[UnitFinding]] | None = None,
) -> dict[str, Any]:
    """Returns trials side by side.

    A knob or setting maps names of trials or studies to values; a trial without it is left out, null is the value None.

    Args:
        compared: The trials.
        studies: Their studies if they are of several.
        over_units: The first trial beside each other one over places and years.
    """
    labels = [side.label for side in compared.sides]
    return {
        "trials": [_side(side) for side in compared.sides],
        "configuration": _settings(compared.knobs, labels),
        **({} if compared.measured is None else _measured(compared.measured, labels)),
        "studies": None if studies is None else _studies(studies),
        "over_units": None
        if over_units is None
        else {label: [asdict(each) for each in units] for label, units in over_units.items()},
        "only_seeds_differ": compared.only_seeds_differ,
        "code_changed": compared.code_changed,
        "verdicts": [asdict(each) for each in compared.verdicts],
        "settled_by": compared.settled_by or None,
    }


def options_as_json(compared: OptionsCompared) -> dict[str, Any]:
    """Returns the options of a parameter side by side."""
    definition = compared.record.definition
    return {
        "study": compared.record.name,
        "parameter": compared.parameter,
        "metric": definition["metric"],
        "mode": definition["mode"],
        "equal_budget": {
            "num_trials": compared.num_trials,
            "samples": compared.samples,
            "are_equally_many": compared.are_equally_many,
            "have_equal_samples": compared.have_equal_samples,
        },
        "have_equal_sizes": compared.have_equal_sizes,
        "options": [_branch(branch, compared) for branch in compared.branches],
        "reference": compared.reference or None,
        "at_equal_parameters": [asdict(each) for each in compared.at_equal_parameters],
        "verdicts": [asdict(each) for each in compared.verdicts],
        "settled_by": compared.settled_by or None,
    }


def _side(side: Side) -> dict[str, Any]:
    trial = side.trial
    return {
        "name": side.label,
        "study": side.study.name,
        "number": trial.number,
        "status": trial.status,
        "samples": trial.samples,
        "protocol": side.protocol,
        "data_fingerprint": side.study.protocol.get("data"),
    }


def _measured(measured: Measured, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "metrics": [
            {
                "name": row.name,
                "unit": row.unit,
                "mode": row.mode,
                "values": dict(zip(labels, row.values, strict=True)),
                "differences": dict(zip(labels, row.differences, strict=True)),
                "judgements": dict(zip(labels, row.judgements, strict=True)),
            }
            for row in measured.metrics
        ],
        "costs": {row.name: dict(zip(labels, row.values, strict=True)) for row in measured.costs},
        "curves": {
            "samples": list(measured.curves.samples),
            "values": dict(zip(labels, map(list, measured.curves.values), strict=True)),
        },
    }


def _studies(studies: StudiesCompared) -> dict[str, Any]:
    return {
        "settings": _settings([*studies.settings, *studies.spent], studies.names),
        "equal_length": studies.equal_length,
        "expected_best": dict(zip(studies.names, studies.expected, strict=True)),
    }


def _settings(rows: Sequence[KnobDifference], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        row.name: {name: value for name, value in zip(names, row.values, strict=True) if value is not ABSENT}
        for row in rows
    }


def _branch(branch: Branch, compared: OptionsCompared) -> dict[str, Any]:
    return {
        "option": branch.option,
        "num_trials": len(branch.tried),
        "num_complete": len(branch.values),
        "samples": branch.samples,
        "seconds": branch.seconds,
        "parameters": [branch.sizes[0], branch.sizes[-1]] if branch.sizes else None,
        "best": branch.best,
        "median": branch.median,
        "expected_best": branch.expected_best(compared.num_trials),
        "best_of_first": branch.best_of_first(compared.num_trials),
        "best_within": branch.best_within(compared.samples),
    }
