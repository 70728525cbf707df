"""Messages between a driver and a group of workers, orders and answers: plain data that travel between processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from thalweg.contract import Mode
from thalweg.events import EndedAs
from thalweg.study_folder import CHECKPOINTS

AFTER = "after_"
"""How names of metrics at the end of a stage begin; the stage's name, a slash and the metric's follow."""


def named_by_stage(stages: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Returns metrics at the end of stages under the names by which a study records them."""
    return {
        f"{AFTER}{stage}/{name}": value
        for stage, metrics in stages.items()
        for name, value in metrics.items()
    }


def stages_of(measured: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Returns the metrics at the end of each compared stage, by its name, from what a study records of a trial."""
    found: dict[str, dict[str, float]] = {}
    for key, value in measured.items():
        stage, slash, name = key.removeprefix(AFTER).partition("/")
        if slash and key.startswith(AFTER):
            found.setdefault(stage, {})[name] = value
    return found


def best_of(curve: Sequence[tuple[int, float]], mode: Mode) -> tuple[int, float]:
    """Returns samples and objective of a trial's best evaluation, the later of equal ones.

    Args:
        curve: (samples, objective) at each evaluation; at least one.
        mode: Whether smaller or larger is better.
    """
    sign = 1.0 if mode == "max" else -1.0
    return max(curve, key=lambda point: (sign * point[1], point[0]))


@dataclass(frozen=True, kw_only=True)
class TrialOrder:
    """One configuration to train.

    Attributes:
        trial: Name of the trial; a folder with this name below `directory` holds its checkpoints.
        family: Package of the family, such as ``trainables.water_mae``.
        config: The configuration as JSON.
        metric: Metric whose value is reported as the objective.
        evaluations: Samples seen at each evaluation, ascending; the last one is the budget.
        data_root: Folder of the family's data sets.
        directory: Folder for the checkpoints and the baselines of the study.
        resumes: A checkpoint of the interrupted trial that this one continues; that trial's newest one is loaded.
        inherits: The configuration under which `resumes` was written, if the trial goes on from the checkpoint of one
            with other values of changeable knobs; None if `resumes` is of its own configuration.
        checkpoints: Whether to write a checkpoint at each evaluation.
        keep_last: Retention: number of newest checkpoints that are kept, beside that of the best evaluation.
        num_curve_points: Points of the training curve per evaluation.
        baselines: Whether to evaluate the untrained model and the family's baselines, unless another trial did.
        starting_points: Files with the weights of the studies in ``starts_from``, by the study's name.
        study: Identity of the trial's study; a checkpoint of another study is not continued. Empty outside of studies.
        halvings: How often micro-batches are halved, because they did not fit into memory.
        code: Hash of each module's code that the study has recorded, by its path; empty checks none.
    """

    trial: str
    family: str
    config: Mapping[str, Any]
    metric: str
    evaluations: tuple[int, ...]
    data_root: str
    directory: str
    resumes: str | None = None
    inherits: Mapping[str, Any] | None = None
    checkpoints: bool = True
    keep_last: int = 1
    num_curve_points: int = 8
    baselines: bool = False
    starting_points: Mapping[str, str] = field(default_factory=dict)
    study: str = ""
    halvings: int = 0
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """Folder outside of which nothing is deleted: the study's own."""
        folder = Path(self.directory)
        return folder.parent if folder.name == CHECKPOINTS else folder

    @property
    def total_samples(self) -> int:
        """The trial's budget."""
        return self.evaluations[-1]


CurvePoint = tuple[int, dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The answer of a group that has reached an evaluation.

    Attributes:
        samples: Samples at which the evaluation was due, 0 before training. Trials are compared at equal ``samples``.
        samples_seen: Samples that training has seen: a little more if the last step ended later than was due.
        value: The objective.
        metrics: All metrics of the validation split.
        curve: Loss parts, weights, learning rate (the largest over the optimizer's groups) and gradient norm since the
            last report.
        timings: Seconds by activity since the last report, such as ``train_s`` and ``evaluate_s``.
        costs: What the trial costs: ``num_parameters``, ``epoch_s`` (seconds of training per pass over the split) and
            ``peak_memory_mib``, the largest of the workers'.
        provenance: Where and on what the trial runs: protocol hash, data fingerprint, device, host, lane, ...
        documents: Text files to record, by name, such as the ``deepspeed.json`` that the engine was given.
        checkpoint: Folder of the checkpoint written at this evaluation.
        done: Whether the budget is spent.
        notes: Sentences for people about the trial's start, such as which damaged checkpoint was skipped.
        deaths: Why groups of workers were replaced since the last report.
        stages: Metrics at the end of each earlier stage that is compared with the last one, by the stage's name.
    """

    samples: int
    samples_seen: int
    value: float
    metrics: Mapping[str, float]
    curve: tuple[CurvePoint, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    checkpoint: str | None = None
    done: bool = False
    notes: tuple[str, ...] = ()
    deaths: tuple[str, ...] = ()
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def protocol(self) -> str | None:
        """Hash of the evaluation protocol, if it is known."""
        return self.provenance.get("protocol_hash")

    @property
    def measured(self) -> dict[str, float]:
        """Metrics and costs as a study records them: ``accuracy``, ``after_projector/accuracy``, ``cost/epoch_s``."""
        return {
            **self.metrics,
            **named_by_stage(self.stages),
            **{f"cost/{name}": value for name, value in self.costs.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The answer of a group if a trial cannot go on.

    Attributes:
        kind: ``trial`` if the trial is at fault (it fails, the group goes on), ``group`` if the processes are
            (they are replaced, the trial is repeated from its checkpoint), ``study`` if no trial could go on, as on a
            full disk or with a family whose metrics are no numbers (the search stops, the trial is interrupted).
        reason: One line for people.
        ended_as: The same as one word.
        details: Traceback.
        samples: Samples of the last evaluation that was reported.
        can_halve: Whether memory ran out, and smaller micro-batches would give the same result.
    """

    kind: Literal["trial", "group", "study"]
    reason: str
    ended_as: EndedAs
    details: str = ""
    samples: int = 0
    can_halve: bool = False
