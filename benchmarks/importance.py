"""Importance of parameters by a planted truth: Thalweg's forest beside Optuna's PED-ANOVA, fANOVA and MDI.

In each study lr decides, ``gate`` matters a little in one of two branches, and ``width`` and ``kind`` do nothing. The
same trials are given to all. Told are shares of studies in which an evaluator puts something dead first, in which
Thalweg says of something dead that it matters, and the importance that each gives to ``gate``, whose total Sobol index
over the space is known.

    uv run python -m benchmarks.importance --json importance.json
"""

import argparse
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import (
    FanovaImportanceEvaluator,
    MeanDecreaseImpurityImportanceEvaluator,
    PedAnovaImportanceEvaluator,
)
from optuna.trial import create_trial

from benchmarks.figures import Figures, tell
from thalweg.analysis.importance.parameters import importance_of
from thalweg.search.store.records import StudyRecord, TrialRecord

DEAD = ("width", "kind")
ALWAYS: Mapping[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 1e-1, log=True),
    "width": IntDistribution(8, 64),
    "kind": CategoricalDistribution(("mean", "sum", "max")),
    "fusion": CategoricalDistribution(("add", "gated")),
}
BRANCH: Mapping[str, BaseDistribution] = {"gate": FloatDistribution(0.0, 1.0)}
NOISE = 0.1

Drawn = tuple[dict[str, Any], float]


def draw(rng: np.random.Generator) -> Drawn:
    """Draws a trial: its parameters and its objective, of which the smaller is the better."""
    params: dict[str, Any] = {
        "lr": float(10 ** rng.uniform(-4, -1)),
        "width": int(rng.integers(8, 65)),
        "kind": str(rng.choice(["mean", "sum", "max"])),
        "fusion": str(rng.choice(["add", "gated"])),
    }
    value = (np.log10(params["lr"]) + 2.2) ** 2
    if params["fusion"] == "gated":
        params["gate"] = float(rng.uniform())
        value += 1.2 * abs(params["gate"] - 0.3)
    else:
        value += 0.36  # the mean of the other branch: which branch it is matters to no mean
    return params, float(value + NOISE * rng.standard_normal())


def record_of(drawn: list[Drawn]) -> StudyRecord:
    """Returns the trials as a study of Thalweg's."""
    trials = [
        TrialRecord(
            number=number,
            status="complete",
            value=value,
            params=params,
            config={},
            samples=1,
            metrics={},
            seconds=1.0,
            reason="",
            curve=((1, value),),
            checkpoint=None,
        )
        for number, (params, value) in enumerate(drawn)
    ]
    return StudyRecord(name="planted", definition={"metric": "loss", "mode": "min"}, trials=tuple(trials))


def study_of(drawn: list[Drawn]) -> optuna.Study:
    """Returns the trials as a study of Optuna's."""
    study = optuna.create_study()
    for params, value in drawn:
        distributions = {name: each for name, each in {**ALWAYS, **BRANCH}.items() if name in params}
        study.add_trial(create_trial(params=params, distributions=distributions, value=value))
    return study


def of_thalweg(drawn: list[Drawn]) -> tuple[dict[str, float], set[str]]:
    """Returns importances by parameter, and the parameters that are said to matter."""
    found = importance_of(record_of(drawn))
    return {each.name: each.importance for each in found.parameters}, set(found.shown)


PEERS: Mapping[str, Callable[[int], Any]] = {
    "PED-ANOVA": lambda seed: PedAnovaImportanceEvaluator(),
    "fANOVA": lambda seed: FanovaImportanceEvaluator(seed=seed),
    "MDI": lambda seed: MeanDecreaseImpurityImportanceEvaluator(seed=seed),
}


def of_peer(name: str, drawn: list[Drawn], seed: int) -> dict[str, float]:
    """Returns a peer's importances; parameters that it leaves out, such as those of a branch, have 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study_of(drawn), evaluator=PEERS[name](seed))
    return {parameter: float(found.get(parameter, 0.0)) for parameter in {**ALWAYS, **BRANCH}}


def compare(count: int, num_studies: int, figures: Figures) -> None:
    """Adds the figures of studies of so many trials."""
    first: dict[str, list[bool]] = {name: [] for name in ("Thalweg", *PEERS)}
    gates: dict[str, list[float]] = {name: [] for name in first}
    false, found = [], []
    for seed in range(num_studies):
        rng = np.random.default_rng((count, seed))
        drawn = [draw(rng) for _ in range(count)]
        own, shown = of_thalweg(drawn)
        false.append(bool(shown & set(DEAD)))
        found.append("lr" in shown)
        for name in first:
            given = own if name == "Thalweg" else of_peer(name, drawn, seed)
            first[name].append(max(given, key=lambda each: given[each]) in DEAD)
            gates[name].append(given.get("gate", 0.0))
    for name, each in first.items():
        goal = "at most 0.1" if name == "Thalweg" and count > 10 else ""
        figures.add(f"{count} trials, {name}: something dead is first", [float(np.mean(each))], "1", goal)
    figures.add(
        f"{count} trials: something dead is said to matter", [float(np.mean(false))], "1", "at most 0.05"
    )
    figures.add(f"{count} trials: lr is said to matter", [float(np.mean(found))], "1")
    for name, values in gates.items():
        figures.add(f"{count} trials, {name}: importance of gate", [float(np.mean(values))], "1")


def index_of_gate() -> float:
    """Returns the total Sobol index of ``gate`` over the space, noise included in the variance."""
    rng = np.random.default_rng(0)
    values = np.array([draw(rng)[1] for _ in range(200_000)])
    within = 1.2**2 * np.abs(rng.uniform(size=200_000) - 0.3).var()
    return float(0.5 * within / values.var())


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few studies")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    figures = Figures()
    for count in (10, 20) if options.quick else (10, 20, 50):
        compare(count, 4 if options.quick else 60, figures)
    figures.add("total Sobol index of gate", [index_of_gate()], "1")
    tell(figures.rows, options.json)


if __name__ == "__main__":
    main()
