"""Baselines: predictors without training, which are evaluated in place of a model."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.rgb_lidar.data.lidar import MAX_RANGE
from trainables.rgb_lidar.knobs import DataKnobs

_GRID = 8

Pictures = Float[Tensor, "batch side side"]


class Constant(nn.Module):
    """Predicts the same log-odds for every scene.

    Args:
        odds: Log-odds of a sphere.
    """

    def __init__(self, odds: float) -> None:
        super().__init__()
        self.register_buffer("odds", torch.tensor([[odds]]), persistent=False)
        self.odds: Tensor

    def forward(self, batch: Batch) -> Float[Tensor, "batch 1"]:
        """Returns the log-odds once for each scene."""
        return self.odds.expand(len(batch["rgb"]), 1)


class Same(nn.Module):
    """Predicts the same outputs for every scene.

    Args:
        outputs: The outputs by name, without the batch axis.
    """

    def __init__(self, outputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, value in outputs.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns the outputs once for each scene."""
        count = len(batch["rgb"])
        outputs = self.named_buffers(remove_duplicate=False)
        return {name: value.expand(count, *value.shape) for name, value in outputs}


class CoarseLikeness(nn.Module):
    """Uses coarse pictures as embeddings: brightness of the image and nearness of the scan in 8 x 8 fields.

    Pictures are standardised within each scene, which removes its light. Fields are standardised over training scenes,
    which removes what all scenes have in common.

    Args:
        inputs: Channels of image and scan.
        training: Training scenes, for mean and spread of the fields.
        others: Predicts the other outputs.
    """

    def __init__(self, inputs: DataKnobs, training: Batch, others: nn.Module) -> None:
        super().__init__()
        self._inputs = inputs
        self._others = others
        for name, fields in self._fields(training).items():
            self.register_buffer(f"{name}_mean", fields.mean(0), persistent=False)
            self.register_buffer(f"{name}_std", fields.std(0).clamp(min=1e-6), persistent=False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Returns embeddings of length 1 beside the other outputs."""
        found: dict[str, Tensor] = dict(self._others(batch))
        usual = dict(self.named_buffers(recurse=False))
        for name, fields in self._fields(batch).items():
            unusual = (fields - usual[f"{name}_mean"]) / usual[f"{name}_std"]
            found[f"{name}_embedding"] = nn.functional.normalize(unusual, dim=1)
        return found

    def _fields(self, batch: Batch) -> dict[str, Float[Tensor, "batch field"]]:
        pictures = {"rgb": batch["rgb"][:, :3].mean(1), "lidar": nearness(batch["lidar"], self._inputs)}
        return {name: _coarse(picture) for name, picture in pictures.items()}


def nearness(scans: Float[Tensor, "batch channel side side"], inputs: DataKnobs) -> Pictures:
    """Returns 1 - distance / range, 0 if no ray came back, from scans in any representation."""
    lengths = scans[:, :3].norm(dim=1) if inputs.lidar_repr == "xyza" else scans[:, 0]
    ranges = lengths if inputs.lidar_norm == "scaled" else lengths / MAX_RANGE
    return torch.where(ranges > 0, (1 - ranges).clamp(min=0), 0.0)


def _coarse(pictures: Pictures) -> Float[Tensor, "batch field"]:
    fields = nn.functional.adaptive_avg_pool2d(pictures, _GRID).flatten(1)
    spread = fields.std(1, keepdim=True).clamp(min=1e-6)
    return (fields - fields.mean(1, keepdim=True)) / spread
