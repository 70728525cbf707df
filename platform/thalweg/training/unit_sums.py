"""Sums by unit of a trial's last evaluation, and of the baselines: what comparisons over places and years resample.

Metrics alone cannot tell whether a model is better in most years or in one. What a `thalweg.contract.Measure` keeps
apart by catchment and year, by season or by scene is therefore written beside the study's checkpoints, as one small
file for each trial and baseline: ``units/trial-00007.npz``. It holds the whole states of measures, with rows of single
samples where they are short, such as the score and the label of a scene. A measure that compares long ones, such as
embeddings, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np
import torch

from thalweg.contract import Measure, State
from thalweg.errors import TrialError
from thalweg.files import atomic_file, writing
from thalweg.per_unit import PerUnit

_CONTENT = "content"
_FORMAT = 1
MAX_ROW = 8
"""Numbers that a measure may keep of a sample; longer rows would be no small file."""


@dataclass(frozen=True)
class UnitSums:
    """What one evaluation kept.

    Attributes:
        samples: Samples that the model was trained on; 0 for a baseline.
        protocol: Hash of the evaluation protocol; only sums of one protocol may be compared.
        states: State of each measure on the split ``val``, by the names of its metrics.
    """

    samples: int
    protocol: str
    states: Mapping[tuple[str, ...], State]

    def of(self, measure: Measure) -> State:
        """Returns the state of a measure, from which `Measure.summarize` computes metrics; empty if none was kept."""
        return self.states.get(_names(measure), {})


def keep(
    path: Path, measures: Sequence[Measure], states: Sequence[State], *, samples: int, protocol: str
) -> None:
    """Writes the sums of an evaluation, unless no measure keeps any by unit or by sample.

    Args:
        path: The file; one that is there is replaced.
        measures: The measures.
        states: Their states over a whole split.
        samples: Samples that the model was trained on.
        protocol: Hash of the evaluation protocol.

    Raises:
        OutputError: It cannot be written.
    """
    content: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    kept = [pair for pair in zip(measures, states, strict=True) if _is_short(*pair)]
    if not any(_has_units(*pair) for pair in kept):
        return
    for measure, state in kept:
        content.append({"metrics": _names(measure), "entries": {}})
        for name, value in state.items():
            where = f"{len(arrays)}"
            is_table = isinstance(value, PerUnit)
            content[-1]["entries"][name] = {"at": where, "by_unit": is_table}
            arrays[where] = (value.values if is_table else value).numpy()
            if is_table:
                arrays[f"{where}_units"] = value.keys.numpy()
    told = {"format": _FORMAT, "samples": samples, "protocol": protocol, "measures": content}
    arrays[_CONTENT] = np.array(json.dumps(told))
    with writing("sums by unit", path, "free space and give the same command again"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)


def read(path: Path) -> UnitSums:
    """Reads the sums of an evaluation.

    Raises:
        TrialError: There is no such file, or it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            told = json.loads(str(arrays[_CONTENT]))
            states = {
                tuple(each["metrics"]): {
                    name: _entry(arrays, entry) for name, entry in each["entries"].items()
                }
                for each in told["measures"]
            }
    except FileNotFoundError:
        raise TrialError(
            f"sums by unit must have been kept to be compared over places and years, got no {path}; train the trial "
            "again: studies of earlier versions kept none, and some families measure nothing by unit"
        ) from None
    except (BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError, ZlibError) as error:
        raise TrialError(
            f"sums by unit must be whole to be read, got {path}, which is damaged ({type(error).__name__}); train the "
            "trial again"
        ) from None
    return UnitSums(told["samples"], told["protocol"], states)


def _entry(arrays: Mapping[str, np.ndarray], entry: Mapping[str, Any]) -> PerUnit | torch.Tensor:
    values = torch.from_numpy(arrays[entry["at"]])
    return PerUnit(torch.from_numpy(arrays[f"{entry['at']}_units"]), values) if entry["by_unit"] else values


def _is_short(measure: Measure, state: State) -> bool:
    rows = [value for name, value in state.items() if name in measure.rows]
    return all(row[:1].numel() <= MAX_ROW for row in rows)


def _has_units(measure: Measure, state: State) -> bool:
    return any(name in measure.rows or isinstance(value, PerUnit) for name, value in state.items())


def _names(measure: Measure) -> tuple[str, ...]:
    return tuple(metric.name for metric in measure.metrics)
