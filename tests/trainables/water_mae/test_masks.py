"""Training masks: how many patches, which, and on what they depend."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from thalweg.errors import ConfigError
from trainables.water_mae.config import PRESETS, MaskingKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.task import WaterMAETask

KEYS = np.array([5, 6, 7], np.uint64)
FIRST_WITHOUT_RIVERS = np.array([0, 8, 10])


def test_the_reference_hides_37_of_94_and_30_of_76_patches(make_data: Callable[..., WaterData]) -> None:
    data = make_data(
        num_patches=94, num_catchments=604, num_members=8, sequence_length=30, num_days=31, num_pixels=1
    )
    batch = WaterMAETask(PRESETS["reference"]).training_batch(data, np.array([0]), KEYS[:1])
    assert batch["image_masked"].shape == (1, 3, 30, 37)
    assert batch["vector_masked"].shape == (1, 2, 30, 30)
    images, vectors = batch["image_keep"][0, 0].numel(), batch["vector_keep"][0, 0].numel()
    assert (images, vectors) == (1710, 1380)
    assert 3 * images + 2 * (vectors + 1) == 7892


@pytest.mark.parametrize("mask_mode", ["unified", "independent"])
def test_modalities_of_a_kind_share_their_masks_when_unified(
    config: WaterMAE, data: WaterData, mask_mode: str
) -> None:
    masking = MaskingKnobs.model_validate({"mask_mode": mask_mode})
    batch = WaterMAETask(config.model_copy(update={"masking": masking})).training_batch(
        data, FIRST_WITHOUT_RIVERS, KEYS
    )
    for name in ("image_keep", "image_masked", "vector_keep", "vector_masked"):
        equal = torch.equal(batch[name][:, 0], batch[name][:, 1])
        assert equal == (mask_mode == "unified")


def test_kept_and_masked_patches_are_all_patches(config: WaterMAE, data: WaterData) -> None:
    batch = WaterMAETask(config).training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    for kind in ("image", "vector"):
        both = torch.cat((batch[f"{kind}_keep"], batch[f"{kind}_masked"]), dim=-1).sort(-1).values
        assert torch.equal(both, torch.arange(both.shape[-1]).expand(both.shape))


def test_training_masks_belong_to_the_key_of_the_sample(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    together = task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)
    alone = task.training_batch(data, FIRST_WITHOUT_RIVERS[[2]], KEYS[[2]])
    other = task.training_batch(data, FIRST_WITHOUT_RIVERS[[2]], KEYS[[2]] + np.uint64(1))
    assert torch.equal(together["image_masked"][2], alone["image_masked"][0])
    assert not torch.equal(alone["image_masked"], other["image_masked"])
    assert torch.equal(alone["images"], other["images"])


def test_image_and_vector_masks_are_unrelated(config: WaterMAE, make_data: Callable[..., WaterData]) -> None:
    data = make_data(num_patches=5)
    masking = MaskingKnobs(image_mask_ratio=0.4, vector_mask_ratio=0.4)
    batch = WaterMAETask(config.model_copy(update={"masking": masking})).training_batch(
        data, FIRST_WITHOUT_RIVERS, KEYS
    )
    assert batch["image_masked"].shape[2:] == batch["vector_masked"].shape[2:]
    assert not torch.equal(batch["image_masked"][:, 0], batch["vector_masked"][:, 0])


def test_a_single_patch_cannot_be_masked(config: WaterMAE, make_data: Callable[..., WaterData]) -> None:
    with pytest.raises(ConfigError, match="at least 2 patches, got 1"):
        WaterMAETask(config).training_batch(make_data(num_patches=1), np.array([0]), KEYS[:1])
