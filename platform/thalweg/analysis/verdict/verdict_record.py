"""A verdict in MLflow: tags of the confirmation's run, and a run for each configuration with its mean over seeds."""

from __future__ import annotations

import math
from pathlib import Path

from thalweg.analysis.verdict.confirmed import Confirmed, Finding, Repeated
from thalweg.analysis.verdict.paired_tests import LEVEL_ERROR
from thalweg.tracking import additions
from thalweg.wording import counted


def record_verdict(
    confirmed: Confirmed,
    study: str,
    directory: Path,
    folder: Path,
    uri: str,
    at_test: Confirmed | None = None,
) -> str:
    """Writes a verdict into MLflow; returns a sentence for people.

    Args:
        confirmed: The verdict.
        study: Name of the confirmation.
        directory: Its folder, absolute.
        folder: Folder of the verdict's files.
        uri: MLflow's address, which `check_tracking` accepted.
        at_test: The verdict on the split ``test``; None if it was not asked for.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    findings = {one.rival: one for one in confirmed.findings}
    groups = [
        _group(confirmed, one, findings.get(one.contender.name)) for one in confirmed.repeated if one.trials
    ]
    told = tags(confirmed)
    if at_test is not None:
        told |= {f"test_{name}": text for name, text in tags(at_test).items() if name != "champion"}
    run = additions.add_verdict(uri, study, directory, told, groups, folder)
    return "verdict in MLflow" if run else f"verdict not in MLflow, for {uri} does not know {study}"


def tags(confirmed: Confirmed) -> dict[str, str]:
    """Returns the verdict as tags of the confirmation's run."""
    found = {f"verdict/{one.rival}": words(one) for one in confirmed.findings if one.seeds}
    told = confirmed.recommendation
    found["champion"] = confirmed.champion.contender.name
    found["recommendation"] = f"{told.name}: {told.reason}" if told.name else told.reason
    return found


def words(one: Finding) -> str:
    """Returns the words of a verdict over all scopes: ``beats over 5 seeds; cannot tell over 9 catchments``."""
    units = [f"{each.word} over {each.num_blocks} {each.unit}s" for each in one.over_units]
    return "; ".join([f"{one.word} over {one.seeds} seeds", *units])


def _group(confirmed: Confirmed, one: Repeated, finding: Finding | None) -> additions.VerdictRun:
    metrics = {"seeds": float(len(one.trials)), "num_failed": float(one.num_failed)}
    if one.spread is not None:
        metrics["spread"] = one.spread
    if one.mean is not None:
        metrics["objective"] = metrics["mean"] = one.mean
        low, high = _interval(one)
        metrics |= {"low": low, "high": high}
    if finding is not None:
        told = {
            "champion_better_by": finding.difference,
            "champion_better_by_low": finding.low,
            "champion_better_by_high": finding.high,
        }
        metrics |= {name: value for name, value in told.items() if value is not None}
    contender = one.contender
    verdict = {"verdict": words(finding) if finding is not None and finding.seeds else contender.role}
    return additions.VerdictRun(
        name=f"{contender.name} over seeds",
        metrics=metrics,
        tags={
            **verdict,
            "role": contender.role,
            "status": "unstable" if one.num_failed else "complete",
            "failures": one.failed,
            "lost": counted(len(one.lost), "run") if one.lost else "",
        },
        params={"configuration": contender.name, **({"label": contender.label} if contender.label else {})},
    )


def _interval(one: Repeated) -> tuple[float, float]:
    """Returns Student's interval of the mean over seeds, at 95 %; NaN for a single run."""
    from scipy.stats import t as student

    count = len(one.trials)
    if one.mean is None or one.spread is None or count < 2:
        return math.nan, math.nan
    reach = float(student.isf(LEVEL_ERROR / 2, count - 1)) * one.spread / math.sqrt(count)
    return one.mean - reach, one.mean + reach
