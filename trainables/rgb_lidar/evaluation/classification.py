"""Classification of cubes and spheres: cross-entropy, confusion counts and metrics; spheres are the positive class.

Every metric is computed over all scenes of a split from sums. Accuracy saturates on easy data, where most
configurations look alike; the cross-entropy still tells them apart.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch, Measure, Metric, Outputs, State
from thalweg.nn.measures.classification import classification_metrics, confusion_matrices
from trainables.rgb_lidar.config import CLASSES


def _share(name: str, meaning: str) -> Metric:
    return Metric(name=name, mode="max", unit="1", search_invariant=True, meaning=meaning)


def _cross_entropy(prefix: str, of_what: str) -> Metric:
    return Metric(
        name=f"{prefix}cross_entropy",
        mode="min",
        unit="nat",
        search_invariant=True,
        meaning=f"mean of -log p(class){of_what}; log 2 = 0.693 for a guess between two equal classes",
    )


LIDAR = "lidar_"
"""Prefix of the metrics of the classifier that sees scans alone."""

METRICS = (
    _cross_entropy("", ""),
    _share("accuracy", "share of scenes whose class is predicted"),
    _share("precision", "share of spheres among the scenes called spheres; 0 if none is called so"),
    _share("recall", "share of the spheres that are called spheres"),
    _share("f1", "harmonic mean of precision and recall"),
)
LIDAR_METRICS = (
    _cross_entropy(LIDAR, " of the classifier that sees scans alone"),
    _share(f"{LIDAR}accuracy", "share of scenes whose class is predicted from the scan alone"),
)


def log_odds(logits: Float[Tensor, "batch logit"]) -> Float[Tensor, " batch"]:
    """Returns the log-odds of a sphere, from one logit or from one for each class."""
    return logits[:, -1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def cross_entropy(odds: Float[Tensor, " batch"], labels: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Computes -log p(label) of each scene, in nats.

    It is the binary cross-entropy of one logit and the cross-entropy of two: both depend on the log-odds only.

    Args:
        odds: Log-odds of a sphere.
        labels: 0 for a cube, 1 for a sphere.
    """
    return nn.functional.softplus((1 - 2 * labels) * odds)


def prior_log_odds(shares: tuple[float, float]) -> float:
    """Returns the log-odds of a sphere for the shares of cubes and spheres."""
    tiny = 1e-6  # a class that there is none of
    return math.log((shares[1] + tiny) / (shares[0] + tiny))


def confusion_sums(
    odds: Float[Tensor, " batch"], labels: Float[Tensor, " batch"], prefix: str = ""
) -> dict[str, Tensor]:
    """Sums the cross-entropy and counts right and wrong predictions of each class, in fp64."""
    odds = odds.double()
    (rejections, false_alarms), (misses, hits) = confusion_matrices((odds > 0).long(), labels.long(), 2).sum(
        0
    )
    return {
        f"{prefix}cross_entropy": cross_entropy(odds, labels.double()).sum(),
        f"{prefix}true_positive": hits,
        f"{prefix}false_positive": false_alarms,
        f"{prefix}false_negative": misses,
        f"{prefix}true_negative": rejections,
    }


def metrics_from_sums(sums: Mapping[str, Tensor], prefix: str = "") -> dict[str, float]:
    """Computes the metrics from the sums; shares of zero scenes are 0."""
    counts = (("true_negative", "false_positive"), ("false_negative", "true_positive"))
    confusion = torch.stack([torch.stack([sums[prefix + name] for name in names]) for names in counts])
    found = classification_metrics(confusion, float(sums[f"{prefix}cross_entropy"]), CLASSES)
    return {prefix + metric.name: found[metric.name] for metric in METRICS}


class Classification(Measure):
    """Measure of the classifier of scenes; keeps log-odds and label of each scene."""

    metrics: tuple[Metric, ...] = METRICS
    rows = frozenset({"odds", "label"})
    output = "odds"
    prefix = ""

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Keeps log-odds and labels; nothing if the outputs lack the log-odds."""
        if self.output not in outputs:
            return {}
        return {"odds": outputs[self.output].double(), "label": batch["label"]}

    def summarize(self, state: State) -> dict[str, float]:
        """Computes the metrics over all scenes."""
        odds, labels = state["odds"], state["label"]
        found = metrics_from_sums(confusion_sums(odds, labels, self.prefix), self.prefix)
        return {metric.name: found[metric.name] for metric in self.metrics}


class ScanClassification(Classification):
    """Measure of the classifier that sees scans alone."""

    metrics = LIDAR_METRICS
    output = "lidar_odds"
    prefix = LIDAR
