"""A verdict as files: JSON for programs, and a tidy table that leaderboards read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thalweg.analysis.verdict.confirmed import Confirmed
from thalweg.errors import StudyError
from thalweg.files import atomic_file, writing
from thalweg.search.store.records import StudyRecord
from thalweg.study_folder import StudyFolder

COLUMNS = ("model", "dataset", "metric", "seed", "score", "num_trials")
"""Columns of the table, as GEO-Bench-2's leaderboard and evaluma name them."""
JSON_FILE, CSV_FILE = "verdict.json", "scores.csv"
TEST_JSON_FILE = "verdict_on_test.json"


def read_verdict(directory: Path) -> dict[str, Any] | None:
    """Returns the verdict that a confirmation wrote, as `as_json`; None before it has.

    Args:
        directory: Folder of the confirmation.

    Raises:
        StudyError: It is damaged.
    """
    file = StudyFolder(directory).verdict / JSON_FILE
    try:
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StudyError(
            f"a verdict must be whole to be read, got {file} ({error}); the same `thalweg confirm` writes it again"
        ) from None
    return told


def as_json(confirmed: Confirmed) -> dict[str, Any]:
    """Returns a verdict as JSON."""
    return {
        "study": confirmed.plan.study,
        "metric": confirmed.metric,
        "mode": confirmed.mode,
        "unit": confirmed.unit,
        "champion": confirmed.champion.contender.name,
        "seeds": list(confirmed.plan.seeds),
        "configurations": [
            {
                "name": one.contender.name,
                "role": one.contender.role,
                "label": one.contender.label,
                "in_the_search": one.contender.value,
                "scores": {str(confirmed.plan.seeds[index]): score for index, score in one.scores.items()},
                "mean": one.mean,
                "spread": one.spread,
                "num_failed": one.num_failed,
                "failures": one.failures,
                "lost": {str(confirmed.plan.seeds[index]): len(each) for index, each in one.lost.items()},
                "seconds": one.seconds,
            }
            for one in confirmed.repeated
        ],
        "baseline": None
        if confirmed.baseline is None
        else {"name": confirmed.baseline.name, "value": confirmed.baseline.value},
        "constants": confirmed.constants,
        "verdicts": [asdict(one) for one in confirmed.findings],
        "recommendation": asdict(confirmed.recommendation),
        "stopped": confirmed.plan.stopped,
        "open": bool(confirmed.wanted),
    }


def rows(confirmed: Confirmed, search: StudyRecord, metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Returns the tidy table: one row for each run and metric; the score of a run that failed is empty.

    Args:
        confirmed: The verdict.
        search: The study that it confirms: ``num_trials`` is how many trials the search tuned over.
        metrics: Names of the metrics, the objective first.
    """
    num_trials = sum(trial.is_over for trial in search.trials)
    found = []
    for one in confirmed.repeated:
        for index, trial in one.trials.items():
            values = {**trial.metrics, confirmed.metric: one.scores[index]}
            for metric in metrics:
                found.append(
                    {
                        "model": one.contender.name,
                        "dataset": one.contender.config.get("dataset", ""),
                        "metric": metric,
                        "seed": confirmed.plan.seeds[index],
                        "score": values.get(metric) if trial.status == "complete" else None,
                        "num_trials": num_trials,
                    }
                )
    return found


def write_files(
    confirmed: Confirmed,
    table: Sequence[Mapping[str, Any]],
    directory: Path,
    at_test: Confirmed | None = None,
) -> Path:
    """Writes JSON and table into the folder of a confirmation; returns their folder.

    Args:
        confirmed: The verdict on validation.
        table: What `rows` returned.
        directory: Folder of the confirmation.
        at_test: The verdict on the split ``test``; None leaves an earlier one as it is.

    Raises:
        OutputError: They cannot be written.
    """
    folder = StudyFolder(directory).verdict
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    with writing("the verdict", folder, "free space and give the same command again"):
        folder.mkdir(parents=True, exist_ok=True)
        contents = {JSON_FILE: _dumped(confirmed), CSV_FILE: text.getvalue()}
        if at_test is not None:
            contents[TEST_JSON_FILE] = _dumped(at_test)
        for name, content in contents.items():
            with atomic_file(folder / name) as draft:
                draft.write_text(content, encoding="utf-8")
    return folder


def _dumped(confirmed: Confirmed) -> str:
    return json.dumps(as_json(confirmed), indent=1) + "\n"
