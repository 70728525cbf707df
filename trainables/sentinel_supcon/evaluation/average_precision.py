"""Average precision: how well the probability of a class ranks the scenes that have it before all others.

It is computed over a whole split, of which it keeps the probabilities of each scene. Libraries count a class without a
scene as 0; here it is left out, as in all averages over classes.
"""

import math

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from trainables.sentinel_supcon.knobs import DataKnobs, metric_label
from trainables.sentinel_supcon.model.scene_model import LOGITS
from trainables.sentinel_supcon.model.targets import Target

_CHANCES, _THERE, _COUNTED = "ranking_chances", "ranking_there", "ranking_counted"


class AveragePrecision(Measure):
    """The area under the curve of precision over recall, of each class and as a mean over classes that occur.

    Args:
        knobs: Classes and target.

    Attributes:
        metrics: ``macro_auprc``, and ``auprc_CLASS`` of each class that is not ignored.
        rows: Probabilities, classes, and whether a scene counts.
    """

    rows = frozenset({_CHANCES, _THERE, _COUNTED})

    def __init__(self, knobs: DataKnobs) -> None:
        self._target = Target(knobs)
        self._labels = [metric_label(name) for name in knobs.valid_classes]
        means = {"macro_auprc": "mean over classes of the area under the curve of precision over recall"}
        means |= {f"auprc_{name}": f"area under this curve of the class {name}" for name in self._labels}
        self.metrics = tuple(
            Metric(name=name, mode="max", unit="1", search_invariant=True, meaning=meaning)
            for name, meaning in means.items()
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps what a split is ranked by."""
        if LOGITS not in outputs:
            return {}
        return {
            _CHANCES: self._target.chances(outputs[LOGITS]),
            _THERE: self._target.there(batch),
            _COUNTED: self._target.counted(batch),
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Ranks the scenes that count."""
        if _CHANCES not in state:
            return {}
        counted = state[_COUNTED].bool()
        chances, there = state[_CHANCES].double()[counted], state[_THERE].bool()[counted]
        areas = [average_precision(chances[:, one], there[:, one]) for one in range(len(self._labels))]
        known = [area for area in areas if not math.isnan(area)]
        found = {f"auprc_{name}": area for name, area in zip(self._labels, areas, strict=True)}
        return {"macro_auprc": sum(known) / len(known) if known else math.nan, **found}


def average_precision(scores: Float64[Tensor, " sample"], there: Bool[Tensor, " sample"]) -> float:
    """Returns the sum of precisions at each threshold, weighted by the gain in recall.

    It is NaN without a positive, and if a score is.

    Samples of equal score are called together (as in scikit-learn); nothing is interpolated.

    Args:
        scores: The higher, the likelier.
        there: The positives.
    """
    if not bool(there.any()) or bool(scores.isnan().any()):
        return math.nan
    ordered, places = scores.sort(descending=True)
    hits = there[places].double().cumsum(0)
    last = torch.ones_like(there)
    last[:-1] = ordered[1:] != ordered[:-1]
    found = hits[last]
    called = torch.arange(1, len(scores) + 1, dtype=torch.float64, device=scores.device)[last]
    gains = torch.diff(found, prepend=found.new_zeros(1)) / found[-1]
    return float((gains * found / called).sum())
