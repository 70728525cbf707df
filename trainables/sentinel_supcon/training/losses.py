"""The losses of the stages.

Each part is a mean: over anchors that have a positive, over scenes that have a class, or over all scenes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.views import Contrast
from thalweg.stage_contract import Joined, JointLoss, Loss, Progress, Rows
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.sentinel_supcon.knobs import IGNORED
from trainables.sentinel_supcon.model.scene_model import FUSED, SceneModel
from trainables.sentinel_supcon.model.targets import Target
from trainables.sentinel_supcon.training import contrast
from trainables.sentinel_supcon.training.views import Views, embedded, embedded_and_transported

CROSS_ENTROPY, SUPCON, CONTRASTIVE, TRANSPORT = "cross_entropy", "supcon", "contrastive", "transport"
_PRETRAINING = {"nt_xent": contrast.nt_xent_of_blocks, "pairwise": contrast.pairwise_nt_xent}


class Pretraining(JointLoss):
    """NT-Xent over blocks of a batch, sensors or views of sensors; prototypes add optimal transport.

    Args:
        config: Blocks, loss and weights.
    """

    def __init__(self, config: SentinelSupCon) -> None:
        self._knobs = config.pretraining
        self._transports = config.model.backbone == "prototypes"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Returns the embeddings of all blocks, and the cost of transport of each scene."""
        assert isinstance(model, SceneModel)
        num_views = None if self._knobs.views else 1
        if self._transports:
            views, costs = embedded_and_transported(model, batch, num_views)
            embeddings = {TRANSPORT: costs}
        else:
            views, embeddings = embedded(model, batch, num_views), {}
        blocks = torch.cat(list(views.values()), dim=1)
        anchors = torch.ones_like(batch["label"], dtype=torch.bool)
        if self._knobs.negatives:
            anchors = batch["label"] != IGNORED
        return Rows(embeddings={CONTRASTIVE: blocks, **embeddings}, companions={"anchors": anchors})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Compares the blocks."""
        compare = _PRETRAINING[self._knobs.loss]
        temperature = value_at(self._knobs.temperature, progress.stage_ratio)
        found = compare(rows.embeddings[CONTRASTIVE], temperature, rows.companions["anchors"])
        sums = {CONTRASTIVE: found.total}
        counts: dict[str, Tensor | float] = {CONTRASTIVE: found.count}
        if self._transports:
            sums[TRANSPORT] = rows.embeddings[TRANSPORT].sum()
            counts[TRANSPORT] = float(len(rows.embeddings[TRANSPORT]))
        return Joined(sums=sums, counts=counts)

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns 1 for NT-Xent, and the weight of the transport."""
        weights = {CONTRASTIVE: 1.0}
        if self._transports:
            weights[TRANSPORT] = value_at(self._knobs.ot_weight, progress.stage_ratio)
        return weights


class CrossEntropy(Loss):
    """The cross-entropy of each head alone: of the augmented view, if there is one.

    Args:
        config: Heads and target.
    """

    def __init__(self, config: SentinelSupCon) -> None:
        self._target = Target(config.data)
        self._names = tuple(part_names(config, CROSS_ENTROPY).values())

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropies over scenes that have a class."""
        assert isinstance(model, SceneModel)
        vectors = {sensor: views[:, 0] for sensor, views in embedded(model, batch, 1).items()}
        logits = model.classify(vectors).values()
        losses = (self._target.cross_entropies(each, batch).sum() for each in logits)
        return dict(zip(self._names, losses, strict=True))

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the scenes that have a class."""
        return dict.fromkeys(self._names, float(self._target.counted(batch).sum()))

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1 of each head, so that two heads train as they would alone."""
        return dict.fromkeys(self._names, 1.0)


class SupConCrossEntropy(JointLoss):
    """SupCon of all views beside the cross-entropy of the original one, whose embedding serves both.

    Where both sensors are fused, their embeddings are compared with one another: those of one scene, and of all scenes
    of its class, are positives. Otherwise each sensor is compared with itself.

    Args:
        config: Heads, target, and weight of SupCon.
    """

    def __init__(self, config: SentinelSupCon) -> None:
        self._target = Target(config.data)
        self._knobs = config.tuning
        self._cross_entropies = part_names(config, CROSS_ENTROPY)
        self._supcons = part_names(config, SUPCON)

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Returns the embeddings of all views, and the cross-entropy of each scene."""
        assert isinstance(model, SceneModel)
        views = embedded(model, batch)
        logits = model.classify({sensor: each[:, -1] for sensor, each in views.items()})
        losses = {
            self._cross_entropies[head]: self._target.cross_entropies(each, batch)
            for head, each in logits.items()
        }
        companions = {"label": batch["label"], "counted": self._target.counted(batch)}
        if self._target.is_multi:
            companions["multi"] = batch["multi"].bool()
        return Rows(embeddings={**views, **losses}, companions=companions)

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Compares views, and sums the cross-entropies."""
        sums = {name: rows.embeddings[name].sum() for name in self._cross_entropies.values()}
        counts: dict[str, Tensor | float] = dict.fromkeys(sums, rows.companions["counted"].sum())
        for head, name in self._supcons.items():
            sensors = ("s1", "s2") if head == FUSED else (head,)
            views = [rows.embeddings[sensor] for sensor in sensors]
            found = self._compared(views, rows.companions, progress.stage_ratio)
            sums[name], counts[name] = found.total, found.count
        return Joined(sums=sums, counts=counts)

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns 1 for each cross-entropy, and the weight of SupCon."""
        delta = value_at(self._knobs.sup_delta, progress.stage_ratio)
        return dict.fromkeys(self._cross_entropies.values(), 1.0) | dict.fromkeys(
            self._supcons.values(), delta
        )

    def _compared(self, views: list[Views], companions: Mapping[str, Tensor], done: float) -> Contrast:
        """Compares views of samples: of scenes, or of scenes as each sensor sees them."""
        samples = torch.cat(views)
        if self._target.is_multi:
            classes = companions["multi"].repeat(len(views), 1)
            return contrast.supcon_of_classes(samples, classes, self._knobs, done)
        labels = companions["label"].repeat(len(views))
        return contrast.supcon_of_label(samples, labels, self._knobs, IGNORED, done)


def part_names(config: SentinelSupCon, kind: str) -> dict[str, str]:
    """Returns the names of the parts of a loss by head: of one head the plain one, of two with the sensor."""
    if config.model.scenario == "s1s2":
        return {sensor: f"{kind}_{sensor}" for sensor in config.model.sensors}
    return {FUSED if config.model.is_fused else config.model.scenario: kind}
