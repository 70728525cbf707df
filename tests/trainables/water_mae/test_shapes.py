"""Whatever the knobs and the geometry: shapes follow, numbers are finite, every weight learns."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.water_mae.config import MaskingKnobs, ModelKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.task import WaterMAETask

pytestmark = pytest.mark.slow

ANY_DATA = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


READINGS: tuple[dict[str, Any], ...] = (
    {},
    {"decoder_self_attention": True},
    {"decoder_type": "self"},
    {"weighted_feature_maps": True, "feature_map_input": True},
    {"weighted_feature_maps": True, "feature_map_layers": (0,)},
)
FILMS: tuple[dict[str, Any], ...] = (
    {"film_mode": "tanh"},
    {"film_mode": "one_plus", "film_scope": "global"},
    {"film_mode": "none"},
)
SIZES = st.fixed_dictionaries(
    {
        "dim": st.sampled_from([8, 12]),
        "num_heads": st.sampled_from([1, 2]),
        "image_depth": st.integers(1, 3),
        "vector_depth": st.integers(1, 3),
        "shared_depth": st.integers(0, 4),
        "mlp_ratio": st.integers(1, 2),
        "dropout": st.sampled_from([0.0, 0.3]),
        "decoder_dim": st.sampled_from([8, 10]),
        "decoder_num_heads": st.sampled_from([1, 2]),
        "decoder_depth": st.integers(1, 3),
    }
)
MASKS = st.fixed_dictionaries(
    {
        "image_mask_ratio": st.floats(0.01, 0.99),
        "vector_mask_ratio": st.floats(0.01, 0.99),
        "mask_mode": st.sampled_from(["unified", "independent"]),
    }
)


@ANY_DATA
@given(
    sizes=SIZES,
    reading=st.sampled_from(READINGS),
    film=st.sampled_from(FILMS),
    masks=MASKS,
    kept_share=st.none() | st.floats(0.1, 1.0),
    num_patches=st.integers(2, 7),
    num_catchments=st.integers(4, 11),
    batch_size=st.integers(1, 2),
)
def test_shapes_follow_the_knobs_and_every_weight_learns(
    config: WaterMAE,
    make_data: Callable[..., WaterData],
    sizes: dict[str, Any],
    reading: dict[str, Any],
    film: dict[str, Any],
    masks: dict[str, Any],
    kept_share: float | None,
    num_patches: int,
    num_catchments: int,
    batch_size: int,
) -> None:
    model = ModelKnobs.model_validate(sizes | reading | film)
    if kept_share is not None and model.decoder_type == "cross":
        masks = masks | {"image_kept_mask_ratio": kept_share * masks["image_mask_ratio"]}
    masking = MaskingKnobs.model_validate(masks)
    data = make_data(num_patches=num_patches, num_catchments=num_catchments)
    task = WaterMAETask(config.model_copy(update={"model": model, "masking": masking}))
    batch = task.training_batch(data, np.arange(batch_size), np.arange(batch_size, dtype=np.uint64))
    network = task.build(task.facts(data))
    assert isinstance(network, MaskedAutoencoder)
    predictions = network(batch)
    for name in PUBLISHED_SET.names:
        kind, index = PUBLISHED_SET.places[name]
        masked = batch[f"{kind}_masked"][:, index]
        assert predictions[name].shape == (*masked.shape, batch[f"{kind}s"].shape[-1])
        assert predictions[name].isfinite().all()
    torch.autograd.backward([value.square().sum() for value in predictions.values()])
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all()


@pytest.mark.parametrize("knobs", [{}, {"decoder_type": "self"}, {"weighted_feature_maps": True}])
@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_single_visible_or_hidden_patch_is_enough(
    config: WaterMAE, data: WaterData, knobs: dict[str, Any], share: float
) -> None:
    masking = MaskingKnobs(image_mask_ratio=share, vector_mask_ratio=share)
    sizes = ModelKnobs.model_validate(config.model.model_dump() | knobs)
    task = WaterMAETask(config.model_copy(update={"model": sizes, "masking": masking}))
    batch = task.training_batch(data, np.array([0]), np.array([3], np.uint64))
    few = batch["image_keep" if share > 0.5 else "image_masked"]
    assert few.shape[-1] == 1
    network = task.build(task.facts(data))
    torch.autograd.backward([value.square().mean() for value in network(batch).values()])
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
