"""Verdicts that earlier confirmations gave on some trials of a study, read from their files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.analysis.verdict.verdict_files import read_verdict
from thalweg.search.confirmation.confirmation import Confirmation, plans_of
from thalweg.search.store.records import TrialRecord


@dataclass(frozen=True, kw_only=True)
class EarlierVerdict:
    """What a confirmation found of a champion and one rival, each trained again with fresh seeds.

    Attributes:
        confirmation: Name of the confirmation.
        names: Names of both, such as ``trial 7``.
        metric: The metric that it judged by.
        champion: The champion's name with what it stands for, if that is known.
        rival: The same of the rival.
        word: The verdict over seeds.
        seeds: Seeds that it is based on.
        difference: Mean by which the champion is better; None if it is not known.
        low: Lower end of its interval; None if it is not bounded.
        high: Upper end.
        over_units: Verdicts over places and years: unit, word and number of blocks.
        still_open: Whether the confirmation has runs to do.
    """

    confirmation: str
    names: tuple[str, str]
    metric: str
    champion: str
    rival: str
    word: str
    seeds: int
    difference: float | None
    low: float | None
    high: float | None
    over_units: tuple[tuple[str, str, int], ...]
    still_open: bool


def earlier_verdicts(
    output: Path, study: str, trials: Collection[TrialRecord], labels: Mapping[str, str] | None = None
) -> list[EarlierVerdict]:
    """Returns the verdicts on trials of a study beside one another.

    Args:
        output: Folder of all studies.
        study: Name of the study.
        trials: The trials; those of an earlier study with this name have other configurations and do not count.
        labels: What trials stand for, by names such as ``trial 7``.

    Raises:
        StudyError: A confirmation of the study is damaged.
    """
    configs = {f"trial {trial.number}": trial.config for trial in trials}
    found: list[EarlierVerdict] = []
    for folder, plan in plans_of(study, output):
        found.extend(_of(plan, folder, configs, labels or {}))
    return found


def _of(
    plan: Confirmation,
    folder: Path,
    configs: Mapping[str, Mapping[str, Any]],
    known: Mapping[str, str],
) -> Iterator[EarlierVerdict]:
    told = read_verdict(folder)
    labels = {
        one.name: f"{one.name} ({label})" if (label := known.get(one.name, one.label)) else one.name
        for one in plan.contenders
        if configs.get(one.name) == one.config
    }
    if told is None or told["champion"] not in labels:
        return
    for each in told["verdicts"]:
        if each["rival"] in labels and each["seeds"]:
            yield EarlierVerdict(
                confirmation=folder.name,
                names=(told["champion"], each["rival"]),
                metric=told["metric"],
                champion=labels[told["champion"]],
                rival=labels[each["rival"]],
                word=each["word"],
                seeds=each["seeds"],
                difference=each["difference"],
                low=each["low"],
                high=each["high"],
                over_units=tuple(
                    (unit["unit"], unit["word"], unit["num_blocks"]) for unit in each["over_units"]
                ),
                still_open=told["open"],
            )
