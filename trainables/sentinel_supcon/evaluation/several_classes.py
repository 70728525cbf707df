"""Classification of scenes that have several classes: each is called where its probability is above one half.

Averages over classes are over those that occur in the split. All sums are kept by place.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.per_unit import PerUnit
from trainables.sentinel_supcon.knobs import DataKnobs, metric_label
from trainables.sentinel_supcon.model.scene_model import LOGITS
from trainables.sentinel_supcon.model.targets import Target

CALLS = "class_calls"
"""Name of the sums of right calls, calls, and scenes with the class, for each class, by place."""
_SCENES = "scene_sums"
_MEANINGS = {
    "accuracy": "share of scenes all of whose classes are called and no other one",
    "macro_recall": "mean over classes of the share of scenes with the class that are called so (average accuracy)",
    "macro_precision": "mean over classes of the share of right calls; 0 for a class that is never called",
    "macro_f1": "mean over classes of the harmonic mean of precision and recall",
    "micro_f1": "harmonic mean of precision and recall of all calls of all classes",
}


class SeveralClasses(Measure):
    """Measure of a classifier of scenes with several classes.

    Args:
        knobs: Classes.

    Attributes:
        metrics: Cross-entropy, exact matches, averages over classes, and the recall of each class.
    """

    units = ("place",)

    def __init__(self, knobs: DataKnobs) -> None:
        self._target = Target(knobs)
        self._labels = [metric_label(name) for name in knobs.valid_classes]
        meanings = _MEANINGS | {
            f"recall_{name}": f"share of scenes with the class {name} that are called so"
            for name in self._labels
        }
        cross_entropy = Metric(
            name="cross_entropy",
            mode="min",
            unit="nat",
            search_invariant=True,
            meaning="mean over scenes and classes of -log p(what is true); log 2 = 0.693 for a guess",
        )
        self.metrics = (
            cross_entropy,
            *(
                Metric(name=name, mode="max", unit="1", search_invariant=True, meaning=meaning)
                for name, meaning in meanings.items()
            ),
        )

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums right and wrong calls of each class, cross-entropy and exact matches, by place."""
        if LOGITS not in outputs:
            return {}
        counted = self._target.counted(batch).double()
        there = self._target.there(batch).double()
        called = (self._target.chances(outputs[LOGITS]) > 0.5).double()
        calls = torch.stack((there * called, called, there), dim=2) * counted[:, None, None]
        exact = (there == called).all(1).double()
        entropies = self._target.cross_entropies(outputs[LOGITS].double(), batch)
        scenes = torch.stack((counted, entropies, exact * counted), dim=1)
        places = batch["place"][:, None]
        return {CALLS: PerUnit.of(places, calls), _SCENES: PerUnit.of(places, scenes)}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split; all are NaN if some logits are."""
        if CALLS not in state:
            return {}
        hits, called, there = state[CALLS].total().unbind(1)
        count, entropy, exact = state[_SCENES].total().tolist()
        shares = {"recall": _share(hits, there), "precision": _share(hits, called)}
        shares["f1"] = _share(2 * hits, called + there)
        occurs = there > 0
        found = {
            "cross_entropy": entropy / count if count else math.nan,
            "accuracy": exact / count if count else math.nan,
            "micro_f1": float(_share(2 * hits.sum(), called.sum() + there.sum())) if count else math.nan,
        }
        found |= {
            f"macro_{name}": float(values[occurs].mean()) if bool(occurs.any()) else math.nan
            for name, values in shares.items()
        }
        found |= {
            f"recall_{name}": float(each) for name, each in zip(self._labels, shares["recall"], strict=True)
        }
        if math.isnan(entropy):
            return dict.fromkeys(found, math.nan)
        return {metric.name: found[metric.name] for metric in self.metrics}


def _share(part: Float64[Tensor, "*class_"], whole: Float64[Tensor, "*class_"]) -> Float64[Tensor, "*class_"]:
    return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)
