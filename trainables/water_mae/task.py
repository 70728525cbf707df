"""What Thalweg asks of the hydrological masked autoencoder: batches, losses, evaluation, metrics.

Training hides what the knobs say; every evaluation hides the same half of the patches of each day, drawn
from the window's date. Values are normalised by the training split: precipitation, soil moisture,
temperature and evaporation linearly, river flow after the logarithm, so the skill of river flow is one of
log flow. Skill is one minus squared error over variance of the hidden values, pooled over the split: 0 for
the mean over places and days, 1 for perfection. A mean that knows places and seasons is already well above
0, which the climatology baseline shows.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from thalweg.contract import Indices, Keys, Metric, Progress, SplitName, Task
from thalweg.hashing import digest, splitmix64
from thalweg.nn.losses import masked_mse
from thalweg.nn.masking import num_masked, random_masks, take_patches
from trainables.water_mae.baselines import Climatology
from trainables.water_mae.config import (
    IMAGE_MODALITIES,
    MODALITIES,
    VECTOR_MODALITIES,
    MaskingKnobs,
    WaterMAE,
)
from trainables.water_mae.data import REFERENCE_GEOMETRY, Geometry, WaterData, open_data
from trainables.water_mae.model import Batch, MaskedAutoencoder, kind_and_index

EVALUATION_MASKING = MaskingKnobs(image_mask_ratio=0.5, vector_mask_ratio=0.5, mask_mode="unified")
EVALUATION_MASK_SEED = 20_240

_STREAMS = {"image": np.uint64(0xA3B195354A39B70D), "vector": np.uint64(0x1B03738712FAD5C9)}
_NUM_MODALITIES = {"image": len(IMAGE_MODALITIES), "vector": len(VECTOR_MODALITIES)}


def _modality_metrics(name: str) -> tuple[Metric, Metric]:
    words = "log river flow" if name == "river_flow" else name.replace("_", " ")
    return (
        Metric(
            name=f"skill_{name}",
            mode="max",
            unit="1",
            search_invariant=True,
            meaning=f"1 - MSE / variance of the hidden {words}; 1 is perfect",
        ),
        Metric(
            name=f"mse_{name}",
            mode="min",
            unit="1",
            search_invariant=True,
            meaning=f"mean squared error of the hidden {words}, in variances of the training split",
        ),
    )


class WaterMAETask(Task[WaterMAE, WaterData]):
    """Trains a masked autoencoder and evaluates it at a fixed mask ratio of one half."""

    config_type = WaterMAE
    metrics = (
        Metric(
            name="skill",
            mode="max",
            unit="1",
            search_invariant=True,
            meaning="mean over the modalities of 1 - MSE / variance of the hidden values; 1 is perfect",
        ),
        *(metric for name in MODALITIES for metric in _modality_metrics(name)),
        Metric(
            name="weighted_loss",
            mode="min",
            unit="1",
            search_invariant=False,
            meaning="sum of the mean squared errors times the trial's own loss weights",
        ),
    )

    def data_key(self) -> str:
        """Names the data set and the data knobs."""
        return f"{self.config.dataset}-{digest(self.config.data.model_dump())}"

    def open(self, root: Path) -> WaterData:
        """Opens the data set; see `open_data` for what is refused."""
        return open_data(root, self.config.dataset, self.config.data)

    def training_batch(self, data: WaterData, indices: Indices, keys: Keys) -> Batch:
        """Draws windows of the training split with masks from their keys."""
        return _batch(data, data.windows("train", indices), keys, self.config.masking)

    def evaluation_batch(self, data: WaterData, split: SplitName, indices: Indices) -> Batch:
        """Draws windows with masks that depend on their first day only."""
        windows = data.windows(split, indices)
        keys = splitmix64(splitmix64(np.uint64(EVALUATION_MASK_SEED)) ^ windows["window"])
        return _batch(data, windows, keys, EVALUATION_MASKING)

    def build(self, data: WaterData | None) -> nn.Module:
        """Builds the model for the geometry of the data."""
        geometry = _reference_geometry() if data is None else data.geometry
        return MaskedAutoencoder(self.config.model, geometry, self.config.data.sequence_length)

    def losses(self, model: nn.Module, batch: Batch, progress: Progress) -> Mapping[str, Tensor]:
        """Sums over samples the mean squared error of hidden land cells and catchments, per modality."""
        predictions = model(batch)
        parts = {}
        for name in MODALITIES:
            target, valid = hidden_values(batch, name)
            parts[name] = (masked_mse(predictions[name], target, valid) * _present(batch, name)).sum()
        return parts

    def counts(self, batch: Batch, progress: Progress) -> Mapping[str, float]:
        """Counts the samples in which each modality is present."""
        return {name: float(_present(batch, name).sum()) for name in MODALITIES}

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """Returns the loss weights, the same throughout."""
        return self.config.loss_weights.model_dump()

    @torch.no_grad()
    def evaluate(self, model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Sums number, value, square and squared error of the hidden values of each modality."""
        predictions = model(batch)
        sums = {}
        for name in MODALITIES:
            target, valid = hidden_values(batch, name)
            mask = valid.double() * _present(batch, name)[:, None, None, None].double()
            target = target.double()
            error = predictions[name].double() - target
            sums[f"{name}/count"] = mask.sum()
            sums[f"{name}/total"] = (target * mask).sum()
            sums[f"{name}/square"] = (target.square() * mask).sum()
            sums[f"{name}/error"] = (error.square() * mask).sum()
        return sums

    def summarize(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """Computes the metrics; those of a modality that the split lacks, or that is constant, are NaN.

        Such a modality does not enter ``skill`` and ``weighted_loss``.
        """
        metrics: dict[str, float] = {}
        skills, weighted = [], []
        weights = self.config.loss_weights.model_dump()
        for name in MODALITIES:
            count, total, square, error = (
                float(sums[f"{name}/{part}"]) for part in ("count", "total", "square", "error")
            )
            spread = square - total**2 / count if count else 0.0
            skill = 1 - error / spread if spread > 0 else float("nan")
            mse = error / count if count else float("nan")
            metrics |= {f"skill_{name}": skill, f"mse_{name}": mse}
            if spread > 0:
                skills.append(skill)
                weighted.append(weights[name] * mse)
        metrics["skill"] = sum(skills) / len(skills) if skills else float("nan")
        metrics["weighted_loss"] = sum(weighted) if weighted else float("nan")
        return metrics

    def protocol(self) -> Mapping[str, Any]:
        """Names the masks of the evaluation and the windows and patches that they hide."""
        return {
            "masking": EVALUATION_MASKING.model_dump(),
            "mask_seed": EVALUATION_MASK_SEED,
            "data": self.config.data.model_dump(),
        }

    def baselines(self, data: WaterData) -> Mapping[str, nn.Module]:
        """Returns the mean seasonal cycle of every place."""
        images, vectors = (torch.tensor(means) for means in data.climatology())
        return {"climatology": Climatology(images, vectors)}


def hidden_values(batch: Batch, modality: str) -> tuple[Tensor, Tensor]:
    """Returns what a model is to predict and which of it counts, both (batch, step, masked, value).

    Cells in the sea and padded catchments do not count.
    """
    kind, index = kind_and_index(modality)
    values = batch[f"{kind}s"][:, index]
    masked = batch[f"{kind}_masked"][:, index]
    valid = batch[f"{kind}_valid"][:, None].expand(values.shape)
    return take_patches(values, masked), take_patches(valid, masked)


def _reference_geometry() -> Geometry:
    """Spreads the published 94 land patches over the published grid of 29 x 18; the truth needs the data."""
    rows, columns = np.divmod(
        np.linspace(0, 29 * 18 - 1, REFERENCE_GEOMETRY.num_patches).astype(np.int64), 18
    )
    return replace(REFERENCE_GEOMETRY, patch_rows_cols=np.stack((rows, columns), axis=1))


def _present(batch: Batch, modality: str) -> Tensor:
    if modality in VECTOR_MODALITIES:
        return batch["vector_present"][:, VECTOR_MODALITIES.index(modality)]
    return torch.ones_like(batch["vector_present"][:, 0])


def _batch(
    data: WaterData,
    windows: Mapping[str, npt.NDArray[Any]],
    keys: Keys,
    masking: MaskingKnobs,
) -> Batch:
    batch = {name: torch.from_numpy(array) for name, array in windows.items() if name != "window"}
    ratios = {"image": masking.image_mask_ratio, "vector": masking.vector_mask_ratio}
    for kind, ratio in ratios.items():
        _, num_modalities, num_steps, num_patches, _ = batch[f"{kind}s"].shape
        num_groups = num_modalities if masking.mask_mode == "independent" else 1
        keep, masked = random_masks(
            splitmix64(keys ^ _STREAMS[kind]),
            shape=(num_groups, num_steps, num_patches),
            num_masked=num_masked(num_patches, ratio),
        )
        for name, patches in (("keep", keep), ("masked", masked)):
            shared = torch.from_numpy(patches).expand(-1, num_modalities, -1, -1)
            batch[f"{kind}_{name}"] = shared.contiguous()
    size = len(keys)
    geometry = data.geometry
    batch["image_valid"] = torch.tensor(geometry.pixel_valid).expand(size, -1, -1)
    batch["vector_valid"] = torch.tensor(geometry.member_valid).expand(size, -1, -1)
    return batch
