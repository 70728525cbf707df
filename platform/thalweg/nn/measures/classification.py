"""Classification: the confusion matrix, the cross-entropy, and metrics that are computed from both.

All metrics are computed over a whole split from sums in fp64. Accuracy saturates on easy data, where most
configurations look alike; the cross-entropy still tells them apart.

Averages over classes (macro) are over the classes that occur among the labels, whatever a model predicts. So the set
is the same for all models, and a class that is ignored or missing does not count as 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.per_unit import PerUnit

Confusion = Float64[Tensor, "*units label called"]
PerClass = Float64[Tensor, "*units class_"]


def confusion_matrices(
    called: Int[Tensor, " batch"],
    labels: Int[Tensor, " batch"],
    num_classes: int,
    counted: Bool[Tensor, " batch"] | None = None,
) -> Float64[Tensor, "batch label called"]:
    """Returns the confusion matrix of each sample, with a single 1; their sum is that of the batch.

    Args:
        called: Predicted class.
        labels: True class; any value for samples that do not count.
        num_classes: Number of classes.
        counted: Samples that count; None counts all.
    """
    one_hot = torch.eye(num_classes, dtype=torch.float64, device=labels.device)
    if counted is None:
        return one_hot[labels][:, :, None] * one_hot[called][:, None]
    rows = one_hot[labels.masked_fill(~counted, 0)] * counted[:, None]
    return rows[:, :, None] * one_hot[called][:, None]


def cross_entropies(
    logits: Float[Tensor, "batch class_"],
    labels: Int[Tensor, " batch"],
    counted: Bool[Tensor, " batch"] | None = None,
) -> Float64[Tensor, " batch"]:
    """Computes -log p(label) of each sample in nats, in fp64; 0 for samples that do not count."""
    if counted is None:
        return nn.functional.cross_entropy(logits.double(), labels, reduction="none")
    losses = nn.functional.cross_entropy(logits.double(), labels.masked_fill(~counted, 0), reduction="none")
    return losses.masked_fill(~counted, 0)


def accuracy(confusion: Confusion) -> Float64[Tensor, "*units"]:
    """Returns the share of samples whose class is predicted; NaN without samples."""
    return confusion.diagonal(dim1=-2, dim2=-1).sum(-1) / confusion.sum((-2, -1))


def precision(confusion: Confusion) -> PerClass:
    """Returns the share of predictions of each class that are right; 0 for a class that is never predicted."""
    return _share(confusion.diagonal(dim1=-2, dim2=-1), confusion.sum(-2))


def recall(confusion: Confusion) -> PerClass:
    """Returns the share of samples of each class that are predicted so; 0 for a class without samples."""
    return _share(confusion.diagonal(dim1=-2, dim2=-1), confusion.sum(-1))


def f1(confusion: Confusion) -> PerClass:
    """Returns the harmonic mean of precision and recall of each class; 0 if both are 0."""
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    return _share(2 * hits, confusion.sum(-2) + confusion.sum(-1))


def macro(values: PerClass, confusion: Confusion) -> Float64[Tensor, "*units"]:
    """Returns the mean over the classes that occur among the labels; NaN if none does."""
    occurs = (confusion.sum(-1) > 0).double()
    return (values * occurs).sum(-1) / occurs.sum(-1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)


_SHARES = {"precision": precision, "recall": recall, "f1": f1}


def classification_metrics(
    confusion: Float64[Tensor, "label called"], cross_entropy: float, classes: Sequence[str]
) -> dict[str, float]:
    """Computes all metrics of a split; for two classes also precision, recall and F1 of the second, the positive one.

    All are NaN if the cross-entropy is: no class can be called by logits that are no numbers.

    Args:
        confusion: Sum of `confusion_matrices`.
        cross_entropy: Sum of `cross_entropies`.
        classes: Names of the classes.
    """
    total = float(confusion.sum())
    found = {
        "cross_entropy": cross_entropy / total if total else math.nan,
        "accuracy": float(accuracy(confusion)),
    }
    for name, of in _SHARES.items():
        values = of(confusion)
        found[f"macro_{name}"] = float(macro(values, confusion))
        found |= {f"{name}_{label}": float(value) for label, value in zip(classes, values, strict=True)}
        if len(classes) == 2:
            found[name] = float(values[1])
    return dict.fromkeys(found, math.nan) if math.isnan(cross_entropy) else found


class Classification(Measure):
    """Measure of a classifier of samples.

    Args:
        classes: Names of the classes, in the order of the logits.
        scores: Name among the outputs of logits (batch, class), or of the log-odds (batch,) of the second of two
            classes.
        labels: Name in the batch of the true classes, numbers (batch,).
        ignored: Label of samples that do not count; None counts all.
        prefix: Prefix of the names of all metrics, for a model with several classifiers.
        metrics: The metrics to report, with names that `classification_metrics` gives; None reports `described`.
        units: Names in the batch of numbers (batch,) by which sums are kept apart, such as year and season.

    Attributes:
        metrics: The metrics that are reported.
        rows: Nothing is kept sample by sample.
    """

    rows: frozenset[str] = frozenset()

    def __init__(
        self,
        classes: Sequence[str],
        *,
        scores: str,
        labels: str = "label",
        ignored: int | None = None,
        prefix: str = "",
        metrics: Sequence[Metric] | None = None,
        units: Sequence[str] = (),
    ) -> None:
        self.units = tuple(units)
        self._classes = tuple(classes)
        self._scores, self._labels = scores, labels
        self._ignored = ignored
        self._prefix = prefix
        self.metrics = described(classes, prefix) if metrics is None else tuple(metrics)

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Sums confusion and cross-entropy of a batch; nothing if the outputs lack the scores."""
        found = self.per_sample(outputs, batch)
        if not self.units or not found:
            return {name: values.sum(0) for name, values in found.items()}
        units = torch.stack([batch[name] for name in self.units], dim=1)
        return {name: PerUnit.of(units, values) for name, values in found.items()}

    def per_sample(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Returns confusion (batch, class, class) and cross-entropy (batch,), which `add` sums over the batch."""
        if self._scores not in outputs:
            return {}
        logits = _logits(outputs[self._scores])
        labels = batch[self._labels].long()
        counted = None if self._ignored is None else labels != self._ignored
        called = logits.argmax(1)
        return {
            f"{self._prefix}confusion": confusion_matrices(called, labels, len(self._classes), counted),
            f"{self._prefix}cross_entropy": cross_entropies(logits, labels, counted),
        }

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics of a split."""
        if f"{self._prefix}confusion" not in state:
            return {}
        kept = (state[f"{self._prefix}{name}"] for name in ("confusion", "cross_entropy"))
        sums = (each.total() if isinstance(each, PerUnit) else each for each in kept)
        confusion, cross_entropy = (each.cpu() for each in sums)
        found = classification_metrics(confusion, float(cross_entropy), self._classes)
        return {metric.name: found[metric.name.removeprefix(self._prefix)] for metric in self.metrics}


def _logits(scores: Float[Tensor, " batch *axes"]) -> Float[Tensor, "batch class_"]:
    """Returns logits of two classes for log-odds of the second one."""
    return scores if scores.ndim == 2 else torch.stack((torch.zeros_like(scores), scores), dim=1)


def described(classes: Sequence[str], prefix: str = "") -> tuple[Metric, ...]:
    """Returns the metrics of cross-entropy, accuracy, averages over classes, and the recall of each class."""
    meanings = {
        "cross_entropy": f"mean of -log p(class); log {len(classes)} = {math.log(len(classes)):.3f} for a guess",
        "accuracy": "share of samples whose class is predicted",
        "macro_precision": "mean over classes of the share of right calls; 0 for a class that is never called",
        "macro_recall": "mean over classes of the share that is called so (average accuracy)",
        "macro_f1": "mean over classes of the harmonic mean of precision and recall",
    } | {f"recall_{name}": f"share of the class {name} that is called so" for name in classes}
    return tuple(
        Metric(
            name=f"{prefix}{name}",
            mode="min" if name == "cross_entropy" else "max",
            unit="nat" if name == "cross_entropy" else "1",
            search_invariant=True,
            meaning=meaning,
        )
        for name, meaning in meanings.items()
    )
