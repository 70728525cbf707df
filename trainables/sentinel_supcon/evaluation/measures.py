"""The measures of a configuration, and the protocol that their metrics depend on."""

from collections.abc import Mapping
from typing import Any

from thalweg.contract import Measure
from thalweg.nn.measures.classification import Classification, described
from trainables.sentinel_supcon.evaluation.average_precision import AveragePrecision
from trainables.sentinel_supcon.evaluation.calibration import NUM_BINS, Calibration
from trainables.sentinel_supcon.evaluation.several_classes import SeveralClasses
from trainables.sentinel_supcon.knobs import IGNORED, DataKnobs, metric_label
from trainables.sentinel_supcon.model.scene_model import LOGITS


def measures(knobs: DataKnobs) -> tuple[Measure, ...]:
    """Returns the measure of calls, then those of ranks and of calibration."""
    calls = SeveralClasses(knobs) if knobs.target == "multi" else _one_class(knobs)
    return calls, AveragePrecision(knobs), Calibration(knobs)


def protocol(knobs: DataKnobs) -> Mapping[str, Any]:
    """Returns the classes that count, the target and the bins; the inputs of the model are free."""
    return {"classes": list(knobs.valid_classes), "target": knobs.target, "calibration_bins": NUM_BINS}


def _one_class(knobs: DataKnobs) -> Classification:
    labels = [metric_label(name) for name in knobs.classes]
    ignored = {f"recall_{metric_label(name)}" for name in knobs.ignored}
    return Classification(
        labels,
        scores=LOGITS,
        ignored=IGNORED,
        units=("place",),
        metrics=[metric for metric in described(labels) if metric.name not in ignored],
    )
