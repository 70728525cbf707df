import json
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from thalweg.config import flat, parse
from trainables.water_mae.config import (
    PRESETS,
    ForecastKnobs,
    LossKnobs,
    LossWeights,
    MaskingKnobs,
    ModelKnobs,
    WaterMAE,
)
from trainables.water_mae.knobs import PUBLISHED_SET, DataKnobs


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_survive_json(preset: str) -> None:
    config = PRESETS[preset]
    assert parse(WaterMAE, json.loads(config.model_dump_json())) == config


def test_the_defaults_are_the_published_experiment() -> None:
    config = WaterMAE()
    assert config == PRESETS["reference"]
    optimization = config.optimization
    assert (optimization.lr, optimization.weight_decay, optimization.clip_norm) == (1e-4, 0.05, 1.0)
    assert (optimization.beta1, optimization.beta2, optimization.eps) == (0.9, 0.95, 1e-8)
    assert (optimization.batch_size, optimization.precision, optimization.zero_stage) == (16, "fp16", 1)
    assert [getattr(config.loss_weights, name) for name in PUBLISHED_SET.names] == [100, 10, 10, 1, 1]


def test_the_published_warm_up_is_half_of_training_and_then_a_cosine_to_zero() -> None:
    optimization = PRESETS["reference"].optimization
    assert (optimization.warmup_ratio, optimization.lr_schedule) == (5 / 10, "cosine")
    assert optimization.min_lr_ratio == 0


def differing(config: WaterMAE, other: WaterMAE) -> dict[str, Any]:
    ours, theirs = flat(config), flat(other)
    return {name: ours[name] for name in ours if ours[name] != theirs.get(name)}


def test_exp1_hides_more_of_more_windows_in_larger_batches() -> None:
    assert differing(PRESETS["exp1"], PRESETS["reference"]) == {
        "masking.image_mask_ratio": 0.6,
        "masking.vector_mask_ratio": 0.6,
        "data.stride": 2,
        "optimization.batch_size": 32,
        "optimization.warmup_ratio": 5 / 50,
    }


def test_exp2_hides_less_and_has_neither_weights_nor_clipping() -> None:
    assert differing(PRESETS["exp2"], PRESETS["reference"]) == {
        "masking.image_mask_ratio": 0.3,
        "masking.vector_mask_ratio": 0.3,
        "optimization.lr": 5e-5,
        "optimization.clip_norm": 0.0,
        "loss_weights.precipitation": 1.0,
        "loss_weights.soil_moisture": 1.0,
        "loss_weights.temperature": 1.0,
    }


def test_the_small_presets_differ_in_size_and_pace_only() -> None:
    published = PRESETS["reference"]
    for name in ("small", "tiny"):
        preset = PRESETS[name]
        assert (preset.masking, preset.loss) == (published.masking, published.loss)
        assert preset.model.shared_depth == published.model.shared_depth == 1
        assert preset.model.dim <= published.model.dim // 4


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="num_heads must divide dim, got 3 and 64"):
        ModelKnobs(dim=64, num_heads=3)
    with pytest.raises(ValidationError, match="decoder_num_heads must divide decoder_dim, got 5 and 64"):
        ModelKnobs(decoder_dim=64, decoder_num_heads=5)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (
            {"decoder_self_attention": True},
            "decoder_self_attention must be False unless decoder_type is cross",
        ),
        ({"weighted_feature_maps": True}, "weighted_feature_maps must be False unless decoder_type is cross"),
    ],
)
def test_a_self_decoder_has_no_knobs_of_a_cross_decoder(knobs: dict[str, bool], message: str) -> None:
    ModelKnobs.model_validate({"decoder_type": "cross", **knobs})
    with pytest.raises(ValidationError, match=f"{message}, for it would change nothing, got True; leave it"):
        ModelKnobs.model_validate({"decoder_type": "self", **knobs})


def test_knobs_of_what_is_off_are_refused() -> None:
    with pytest.raises(ValidationError, match="feature_map_layers must be None unless weighted_feature_maps"):
        ModelKnobs(feature_map_layers=(0,))
    with pytest.raises(ValidationError, match="feature_map_input must be False unless weighted_feature_maps"):
        ModelKnobs(feature_map_input=True)
    with pytest.raises(ValidationError, match="film_scope must be per_patch unless film_mode is not none"):
        ModelKnobs(film_mode="none", film_scope="global")
    with pytest.raises(
        ValidationError, match=r"contrastive_temperature must be 0\.05 unless contrastive_weight"
    ):
        LossKnobs(contrastive_temperature=0.1)
    with pytest.raises(ValidationError, match=r"lr_scale must be 1\.0 unless share is positive"):
        ForecastKnobs(lr_scale=5.0)
    assert ForecastKnobs(share=0.1, lr_scale=5.0).lr_scale == 5


@pytest.mark.parametrize("layers", [(4,), (-1,), (1, 0), (2, 2)])
def test_feature_maps_are_layers_of_every_encoder(layers: tuple[int, ...]) -> None:
    ModelKnobs(image_depth=6, vector_depth=4, weighted_feature_maps=True, feature_map_layers=(0, 3))
    with pytest.raises(ValidationError, match="layers of every encoder, 0 to 3, each once and in order, got"):
        ModelKnobs(image_depth=6, vector_depth=4, weighted_feature_maps=True, feature_map_layers=layers)


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_no_more_is_reconstructed_than_is_hidden(kind: str) -> None:
    law = rf"{kind}_kept_mask_ratio must be at most {kind}_mask_ratio, got 0\.5 > 0\.4; lower it"
    with pytest.raises(ValidationError, match=law):
        MaskingKnobs.model_validate({f"{kind}_mask_ratio": 0.4, f"{kind}_kept_mask_ratio": 0.5})
    MaskingKnobs.model_validate({f"{kind}_mask_ratio": 0.4, f"{kind}_kept_mask_ratio": 0.4})


@pytest.mark.parametrize("kind", ["image", "vector"])
def test_a_self_decoder_predicts_all_that_is_hidden(kind: str) -> None:
    masking = MaskingKnobs.model_validate({f"{kind}_kept_mask_ratio": 0.2})
    assert WaterMAE(masking=masking).masking == masking
    with pytest.raises(ValidationError, match="must be None when decoder_type is self"):
        WaterMAE(masking=masking, model=ModelKnobs(decoder_type="self"))


def test_no_day_may_be_skipped_between_windows() -> None:
    with pytest.raises(ValidationError, match="stride must be at most sequence_length, got 9 > 8"):
        DataKnobs(sequence_length=8, stride=9)
    with pytest.raises(ValidationError, match="evaluation_stride must be at most sequence_length, got 9 > 8"):
        DataKnobs(sequence_length=8, stride=8, evaluation_stride=9)


@pytest.mark.parametrize(("length", "days"), [(30, 20), (15, 10), (60, 40), (1, 1), (2, 1)])
def test_evaluations_follow_the_length_of_windows_and_not_the_stride(length: int, days: int) -> None:
    for stride in {1, length}:
        assert DataKnobs(sequence_length=length, stride=stride).evaluated_every == days
    assert DataKnobs(sequence_length=length, stride=1, evaluation_stride=1).evaluated_every == 1


def test_some_loss_weight_must_be_positive() -> None:
    with pytest.raises(ValidationError, match="at least one loss weight must be positive"):
        WaterMAE(loss_weights=LossWeights(**dict.fromkeys(PUBLISHED_SET.names, 0.0)))


def test_a_search_space_imports_nothing_heavy() -> None:
    code = (
        "import sys, trainables.water_mae.config; "
        "print([name for name in ('torch', 'numpy', 'pandas', 'h5py', 'ray') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
