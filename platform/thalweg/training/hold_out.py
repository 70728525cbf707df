"""Hold-out: evaluates a checkpoint on the split ``test``, which no trial sees and no study selects by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from thalweg.contract import SplitName, unmeasured
from thalweg.errors import DataError
from thalweg.study_folder import baseline_name
from thalweg.training import unit_sums
from thalweg.training.checkpoints import checkpoint, milestones
from thalweg.training.checkpoints.state import TrainingState
from thalweg.training.evaluation import Keep, evaluate_split
from thalweg.training.guards.family_code import blaming
from thalweg.training.process_group import ProcessGroup
from thalweg.training.protocol import protocol_hash
from thalweg.training.session import make_task

SPLIT: SplitName = "test"
BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Metrics of one checkpoint on two splits.

    Attributes:
        samples: Samples that it was trained on.
        val: Recorded metrics on the split ``val``, by which it was selected.
        test: Metrics on the split ``test``.
        baselines: Metrics on the split ``test`` of each baseline.
        unmeasured: Metrics that the split ``test`` cannot give, and why.
        test_stages: Metrics on ``test`` of the model at the end of each stage that is compared with the last one.
    """

    samples: int
    val: Mapping[str, float]
    test: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    test_stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def evaluate(
    folder: Path, data_root: Path, *, name: str = "", units: Callable[[str], Path] | None = None
) -> HeldOut:
    """Evaluates a checkpoint and the family's baselines on the split ``test``, by the study's evaluation protocol.

    The weights are in fp32, as in an export; the trial itself may have been evaluated in 16 bits.

    Args:
        folder: The checkpoint.
        data_root: Folder of the family's data sets.
        name: Name of the trial, `study_folder.trial_name`, for its sums by unit.
        units: Returns the file for the sums by unit of the trial, or of a baseline, by its name; None keeps none.

    Raises:
        TrialError: The checkpoint is gone, or the family's code raises.
        OutputError: The sums by unit cannot be written.
        DataError: The data set has no split ``test``.
    """
    state, weights = checkpoint.whole(folder)
    with blaming(state.family):
        return _evaluate(state, weights, milestones.read(folder), data_root, name, units)


def _evaluate(
    state: TrainingState,
    weights: Mapping[str, Tensor],
    earlier: Mapping[str, Mapping[str, Tensor]],
    data_root: Path,
    name: str,
    units: Callable[[str], Path] | None,
) -> HeldOut:
    task = make_task(state.family, state.config)
    data = task.open(data_root)
    if data.num_samples(SPLIT) < 1:
        raise DataError(
            f"a data set must have a split {SPLIT} to be reported on, got none in {task.config.dataset!r}; "
            f"make or import it again with one (`thalweg describe {state.family}` names the options of an import, "
            "most of which have `--option test=...`), or report on other data"
        )
    group = ProcessGroup(0, 1, torch.device("cuda" if torch.cuda.is_available() else "cpu"))

    def keeper(of: str, samples: int = 0) -> Keep | None:
        if units is None or not of:
            return None
        protocol = protocol_hash(state.family, task, data)
        return partial(unit_sums.keep, units(of), samples=samples, protocol=protocol)

    def metrics(model: nn.Module, keep: Keep | None = None, is_baseline: bool = False) -> dict[str, float]:
        predict = partial(task.predict, model.to(group.device).eval())
        return evaluate_split(
            task,
            data,
            predict,
            group,
            split=SPLIT,
            batch_size=BATCH_SIZE,
            is_baseline=is_baseline,
            keep=keep,
        )

    def loaded(values: Mapping[str, Tensor]) -> nn.Module:
        model = task.build(task.facts(data))
        model.load_state_dict(values)
        return model

    return HeldOut(
        samples=state.report.samples,
        val=state.report.metrics,
        test=metrics(loaded(weights), keeper(name, state.report.samples)),
        baselines={
            each: metrics(baseline, keeper(baseline_name(each)), True)
            for each, baseline in task.baselines(data).items()
        },
        unmeasured=unmeasured(task, data, SPLIT),
        test_stages={stage: metrics(loaded({**weights, **kept})) for stage, kept in earlier.items()},
    )
