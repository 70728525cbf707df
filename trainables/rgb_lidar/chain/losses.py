"""The losses of the stages of the chain; each is a mean over scenes."""

from collections.abc import Mapping

from torch import Tensor, nn

from thalweg.contract import Batch
from thalweg.nn.contrastive.info_nce import info_nce
from thalweg.stage_contract import Joined, JointLoss, Progress, Rows, StageLoss
from trainables.rgb_lidar.chain.knobs import ChainKnobs, ProjectionLoss, StageName
from trainables.rgb_lidar.chain.model import ChainNetwork
from trainables.rgb_lidar.chain.projection import projection_losses
from trainables.rgb_lidar.evaluation.classification import cross_entropy
from trainables.rgb_lidar.scene_task import SceneLoss


def loss_of(stage: StageName, knobs: ChainKnobs) -> StageLoss:
    """Returns the loss of a stage."""
    losses: dict[StageName, StageLoss] = {
        "cilp": Contrast(),
        "classifier": ScanCrossEntropy(),
        "projector": Projection(knobs.projector.loss),
        "finetune": ImageCrossEntropy(),
    }
    return losses[stage]


class Contrast(JointLoss):
    """The symmetric contrastive loss between the embeddings of images and scans."""

    name = "info_nce"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Returns embeddings whose products are the logits: those of images carry the inverse temperature."""
        assert isinstance(model, ChainNetwork)
        rgb = model.temperature(model.rgb_embedding(batch))
        return Rows(embeddings={"rgb": rgb, "lidar": model.lidar_embedding(batch)})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Sums the loss over scenes."""
        rgb, lidar = rows.embeddings["rgb"], rows.embeddings["lidar"]
        return Joined(sums={self.name: info_nce(rgb, lidar)}, counts={self.name: float(len(rgb))})

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the weight 1."""
        return {self.name: 1.0}


class ScanCrossEntropy(SceneLoss):
    """The cross-entropy of the classifier of scans."""

    name = "lidar_cross_entropy"

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over scenes."""
        assert isinstance(model, ChainNetwork)
        return {self.name: cross_entropy(model.lidar_odds(batch), batch["label"]).sum()}


class Projection(SceneLoss):
    """The distance of the projections of images from a layer of the classifier of scans.

    Args:
        kind: How the distance is measured.
    """

    name = "projection"

    def __init__(self, kind: ProjectionLoss) -> None:
        self._kind = kind

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the distance over scenes."""
        assert isinstance(model, ChainNetwork)
        found, target = model.project(model.rgb_embedding(batch)), model.target(batch)
        return {self.name: projection_losses(found, target, self._kind).sum()}


class ImageCrossEntropy(SceneLoss):
    """The cross-entropy of the classifier of images."""

    name = "cross_entropy"

    def parts(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums the cross-entropy over scenes."""
        assert isinstance(model, ChainNetwork)
        return {self.name: cross_entropy(model.odds(batch), batch["label"]).sum()}
