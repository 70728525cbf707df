from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tests.trainables.water_mae.conftest import in_memory
from trainables.water_mae.config import PRESETS, MaskingKnobs, ModelKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.model.seasonal_cycle import fitted
from trainables.water_mae.task import WaterMAETask

KEYS = np.array([5, 6], np.uint64)
WITH_RIVERS = np.array([8, 10])
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "published": {},
    "one_plus": {"film_mode": "one_plus"},
    "unconditioned": {"film_mode": "none"},
    "self_decoder": {"decoder_type": "self"},
    "seeing_queries": {"decoder_self_attention": True},
    "feature_maps": {"weighted_feature_maps": True, "feature_map_input": True},
    "apart": {"shared_depth": 0, "weighted_feature_maps": True},
    "reading": {"interpolation": "read"},
    "reading_anomalies": {"interpolation": "read", "interpolate_anomalies": True},
}


@pytest.fixture
def batch(config: WaterMAE, data: WaterData) -> Batch:
    return WaterMAETask(config).training_batch(data, WITH_RIVERS, KEYS)


def build(config: WaterMAE, data: WaterData, **knobs: Any) -> MaskedAutoencoder:
    torch.manual_seed(0)
    sizes = ModelKnobs.model_validate(config.model.model_dump() | knobs)
    steps, cycle = config.data.sequence_length, fitted(data)
    return MaskedAutoencoder(sizes, data.geometry, steps, PUBLISHED_SET, cycle)


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def changed(batch: Batch, name: str, value: Tensor) -> Batch:
    assert value.shape == batch[name].shape
    return batch | {name: value}


def differing(model: nn.Module, first: Batch, second: Batch) -> set[str]:
    before, after = model(first), model(second)
    return {name for name in PUBLISHED_SET.names if not torch.allclose(before[name], after[name], atol=1e-6)}


def test_the_reference_model_has_the_published_size() -> None:
    with torch.device("meta"):
        model = WaterMAETask(PRESETS["reference"]).build(None)
    parts = {name: num_parameters(child) for name, child in model.named_children()}
    assert parts == {
        "precipitation_encoder": 4_788_992,
        "soil_moisture_encoder": 4_788_992,
        "temperature_encoder": 4_788_992,
        "evaporation_encoder": 3_207_168,
        "river_flow_encoder": 3_207_168,
        "fusion": 790_272,
        "precipitation_decoder": 1_002_724,
        "soil_moisture_decoder": 1_002_724,
        "temperature_decoder": 1_002_724,
        "evaporation_decoder": 933_768,
        "river_flow_decoder": 933_768,
        "encoder_modality_tokens": 5 * 256,
        "decoder_modality_tokens": 5 * 128,
    }
    assert num_parameters(model) == 26_449_212


def reference_size(**knobs: Any) -> int:
    reference = PRESETS["reference"]
    sizes = ModelKnobs.model_validate(reference.model.model_dump() | knobs)
    with torch.device("meta"):
        return num_parameters(WaterMAETask(reference.model_copy(update={"model": sizes})).build(None))


def test_feature_maps_have_the_published_size() -> None:
    added = 3 * 6 * 4 + 2 * 4 * 4 + 5 * 4 * 2 * 256
    assert reference_size(weighted_feature_maps=True) == 26_449_212 + added
    # Published before there were shared layers, modality tokens, positions of vector patches, and more than one
    # catchment in each.
    later = 5 * (256 + 128) + 2 * 76 * (256 + 128) + 2 * 7 * (128 + 1)
    apart = reference_size(weighted_feature_maps=True, shared_depth=0)
    assert apart - later == 25_607_190
    assert apart - later - added == 25_596_846


def test_each_choice_of_feature_maps_mixes_those_maps() -> None:
    without = reference_size(weighted_feature_maps=True, feature_map_layers=(3,))
    assert reference_size(weighted_feature_maps=True, feature_map_layers=(0, 3)) - without == 5 * 4
    with_input = {"feature_map_layers": (3,), "feature_map_input": True}
    assert reference_size(weighted_feature_maps=True, **with_input) - without == 5 * 4
    # Layer 3 is the last one of the vector encoders: they give a single map, image encoders give two.
    assert without - 26_449_212 == 3 * 2 * 4 + 2 * 1 * 4 + 5 * 4 * 2 * 256


def test_a_self_decoder_has_the_size_of_its_formula() -> None:
    norm, attention, mlp = 2 * 128, 4 * 128 * (128 + 1), 128 * 512 + 512 + 512 * 128 + 128
    block = 2 * norm + attention + mlp
    cross_block = 2 * norm + 128 * 128 + 256 * 256 + 128 * (128 + 1) + mlp
    embedding = 256 * 128 + 128
    assert reference_size(decoder_type="self") - 26_449_212 == 5 * (4 * (block - cross_block) + embedding)
    queries_too = reference_size(decoder_self_attention=True)
    assert queries_too - 26_449_212 == 5 * 4 * (norm + attention)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "num_tokens", "dtype"),
    [
        ("reference", 7892, torch.float32),
        ("reference", 7892, torch.float16),
        ("exp1", 5282, torch.float16),
        ("exp2", 9182, torch.float16),
    ],
)
def test_the_published_presets_fuse_so_many_tokens_without_reading_a_value_on_the_host(
    britain: WaterData, preset: str, num_tokens: int, dtype: torch.dtype
) -> None:
    task = WaterMAETask(PRESETS[preset])
    batch = task.training_batch(britain, np.array([0]), KEYS[:1])
    # Tensors without content: whoever reads a value, or lets one decide on a shape, fails.
    with torch.device("meta"):
        model = task.build(None).to(dtype)
    lengths: list[int] = []
    layers = model.get_submodule("fusion.layers")
    layers.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    predictions = model({name: values.to("meta") for name, values in batch.items()})
    assert lengths == [num_tokens]
    hidden = {"reference": (37, 30), "exp1": (56, 45), "exp2": (28, 22)}[preset]
    assert predictions["precipitation"].shape == (1, 30, hidden[0], 100)
    assert predictions["river_flow"].shape == (1, 30, hidden[1], 8)


@pytest.fixture(scope="module")
def britain() -> WaterData:
    """Random numbers of Great Britain's size."""
    return in_memory(num_patches=94, num_pixels=100, num_catchments=604, num_members=8, sequence_length=30)


def on_meta(config: WaterMAE, data: WaterData) -> tuple[MaskedAutoencoder, Batch]:
    """The model and one window of Great Britain's size, without content."""
    task = WaterMAETask(config)
    batch = task.training_batch(data, np.array([0]), KEYS[:1])
    with torch.device("meta"):
        model = task.build(None)
    assert isinstance(model, MaskedAutoencoder)
    return model, {name: values.to("meta") for name, values in batch.items()}


@pytest.mark.parametrize(("ratio", "num_tokens"), [(0.3, 9_182), (0.4, 7_892), (0.6, 5_282), (0.75, 3_302)])
def test_so_many_tokens_are_fused_at_each_mask_ratio(
    britain: WaterData, ratio: float, num_tokens: int
) -> None:
    masking = MaskingKnobs(image_mask_ratio=ratio, vector_mask_ratio=ratio)
    model, batch = on_meta(WaterMAE(masking=masking), britain)
    assert sum(own[-1].shape[1] for own in model.encode(batch).maps.values()) == num_tokens


def products_of_a_step(*, decoders_read_all: bool) -> float:
    """Operations of the matrix products of forward and backward for one window of 30 days, by hand, in 1e12."""
    image, vector, dim, width = 30 * 57, 30 * 46 + 1, 256, 128  # tokens of each modality; of both kinds
    fused = 3 * image + 2 * vector

    def encoder(tokens: int, depth: int, num_attributes: int = 0) -> int:
        weights = 4 * dim * dim + 2 * dim * 4 * dim + num_attributes * 2 * 2 * dim
        return depth * (2 * tokens * weights + 4 * tokens * tokens * dim)

    def decoder(queries: int, context: int, num_values: int) -> int:
        read = fused if decoders_read_all else context
        reading = 2 * read * dim * 2 * width + 4 * queries * read * width
        block = 2 * queries * (2 * width * width + 2 * width * 4 * width) + reading
        return 4 * block + 2 * queries * width * num_values

    images = encoder(image, 6) + 2 * image * 100 * dim + decoder(30 * 37, image, 100)
    vectors = encoder(vector, 4, 11) + 2 * vector * dim + decoder(30 * 30, vector, 8)
    return 3 * (3 * images + 2 * vectors + encoder(fused, 1)) / 1e12


@pytest.mark.slow
def test_a_training_step_takes_no_more_operations_than_its_formula(britain: WaterData) -> None:
    model, batch = on_meta(WaterMAE(), britain)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.backward([value.mean() for value in model(batch).values()])
    # The published 0.97 counts decoders that read the tokens of all modalities; these read those of their own.
    assert products_of_a_step(decoders_read_all=True) == pytest.approx(0.97, abs=0.005)
    expected = products_of_a_step(decoders_read_all=False)
    assert expected == pytest.approx(0.719, abs=0.001)
    assert counter.get_total_flops() / 1e12 == pytest.approx(expected, rel=2e-3)


def test_encoders_know_kept_places_and_decoders_the_whole_grid() -> None:
    with torch.device("meta"):
        model = WaterMAETask(PRESETS["reference"]).build(None)
    sizes = {name: len(value) for name, value in model.named_parameters() if name.endswith("position")}
    assert sizes["temperature_encoder.embedding.position"] == 94
    assert sizes["evaporation_encoder.embedding.position"] == 76
    assert sizes["temperature_decoder.position"] == 29 * 18
    assert sizes["evaporation_decoder.position"] == 76


def test_predictions_have_the_shape_of_what_is_hidden(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    predictions = build(config, data)(batch)
    assert tuple(predictions) == PUBLISHED_SET.names
    for name, values in predictions.items():
        kind, index = PUBLISHED_SET.places[name]
        width = batch[f"{kind}s"].shape[-1]
        assert values.shape == (*batch[f"{kind}_masked"][:, index].shape, width)


def test_encoders_see_one_token_per_visible_patch_and_one_of_the_attributes(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    lengths: list[list[int]] = []
    model = build(config, data)
    model.fusion.register_forward_pre_hook(
        lambda _, inputs: lengths.append([tokens.shape[1] for tokens in inputs[0]])
    )
    model(batch)
    images, vectors = batch["image_keep"][0, 0].numel(), batch["vector_keep"][0, 0].numel()
    assert lengths == [[images, images, images, vectors + 1, vectors + 1]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_knows_the_content_of_hidden_patches(
    config: WaterMAE, data: WaterData, batch: Batch, variant: str
) -> None:
    model = build(config, data, **VARIANTS[variant])
    for kind in ("image", "vector"):
        values, masked = batch[f"{kind}s"], batch[f"{kind}_masked"]
        index = masked[..., None].expand(*masked.shape, values.shape[-1])
        hidden = values.scatter(3, index, 100.0)
        assert not torch.equal(hidden, values)
        assert differing(model, batch, changed(batch, f"{kind}s", hidden)) == set()


@pytest.mark.parametrize("shared_depth", [0, 1, 4])
@pytest.mark.parametrize("name", ["precipitation", "river_flow"])
@pytest.mark.parametrize("reading", [{}, {"weighted_feature_maps": True}, {"decoder_type": "self"}])
def test_modalities_hear_of_each_other_through_shared_layers_only(
    config: WaterMAE,
    data: WaterData,
    batch: Batch,
    shared_depth: int,
    name: str,
    reading: Mapping[str, Any],
) -> None:
    kind, index = PUBLISHED_SET.places[name]
    values = batch[f"{kind}s"].clone()
    values[:, index] += 2
    model = build(config, data, shared_depth=shared_depth, **reading)
    reached = differing(model, batch, changed(batch, f"{kind}s", values))
    assert reached == (set(PUBLISHED_SET.names) if shared_depth else {name})


def test_masking_one_modality_changes_the_reconstruction_of_another(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    keep = batch["image_keep"].clone()
    keep[:, 0] = batch["image_masked"].amax(-1, keepdim=True)[:, 0]
    other = changed(batch, "image_keep", keep)
    assert "river_flow" in differing(build(config, data), batch, other)
    assert "river_flow" not in differing(build(config, data, shared_depth=0), batch, other)


def test_tokens_know_their_day_and_their_place(config: WaterMAE, data: WaterData, batch: Batch) -> None:
    model = build(config, data)
    equal = {name: torch.ones_like(batch[name]) for name in ("images", "vectors")}
    predictions = model(batch | equal)
    for values in predictions.values():
        assert not torch.allclose(values[:, 0, 0], values[:, 1, 0], atol=1e-4)
        assert not torch.allclose(values[:, 0, 0], values[:, 0, -1], atol=1e-4)


def permuted(data: WaterData) -> WaterData:
    static = data.geometry.static.copy()
    static[:4] = static[[1, 2, 3, 0]]
    return replace(data, geometry=replace(data.geometry, static=static))


@pytest.mark.parametrize(
    ("knobs", "matters"),
    [
        ({"film_mode": "tanh"}, True),
        ({"film_mode": "one_plus"}, True),
        ({"film_mode": "tanh", "film_scope": "global"}, False),
        ({"film_mode": "none"}, False),
    ],
)
def test_it_matters_whose_attributes_are_whose_under_per_patch_only(
    config: WaterMAE, data: WaterData, batch: Batch, knobs: Mapping[str, Any], matters: bool
) -> None:
    before = build(config, data, **knobs)(batch)
    after = build(config, permuted(data), **knobs)(batch)
    for name in PUBLISHED_SET.series:
        assert torch.allclose(before[name], after[name], atol=1e-5) != matters


def test_the_static_token_reaches_other_modalities(config: WaterMAE, data: WaterData, batch: Batch) -> None:
    other = replace(data, geometry=replace(data.geometry, static=data.geometry.static * 2))
    model = build(config, data)
    statics = build(config, other)
    for name in PUBLISHED_SET.series:
        encoder = model.get_submodule(f"{name}_encoder")
        encoder.register_buffer("static", statics.get_buffer(f"{name}_encoder.static"), persistent=False)
    before, after = build(config, data)(batch), model(batch)
    assert not torch.allclose(before["temperature"], after["temperature"], atol=1e-6)


def test_padded_catchments_count_nowhere(config: WaterMAE, data: WaterData, batch: Batch) -> None:
    padding = torch.as_tensor(~data.geometry.member_valid)
    assert padding.any()
    vectors = batch["vectors"].masked_fill(padding, 7.0)
    static = np.where(data.geometry.member_valid[..., None], data.geometry.static, 7.0).astype(np.float32)
    other = replace(data, geometry=replace(data.geometry, static=static))
    before = build(config, data)(batch)
    after = build(config, other)(changed(batch, "vectors", vectors))
    for name in PUBLISHED_SET.names:
        assert torch.equal(before[name], after[name])


def test_a_vector_token_is_the_mean_of_its_valid_catchments(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    valid = torch.as_tensor(data.geometry.member_valid)
    means = torch.zeros_like(batch["vectors"])
    for b, m, t, p in np.ndindex(*means.shape[:-1]):
        members = batch["vectors"][b, m, t, p][valid[p]]
        means[b, m, t, p] = members.sum() / len(members)
    assert differing(build(config, data), batch, changed(batch, "vectors", means)) == set()


def test_an_absent_modality_is_not_taken_for_average_values(
    config: WaterMAE, data: WaterData, batch: Batch
) -> None:
    average = changed(batch, "vectors", torch.zeros_like(batch["vectors"]))
    absent = changed(average, "vector_present", torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    model = build(config, data)
    assert differing(model, average, absent) == set(PUBLISHED_SET.names)
    loud = changed(absent, "vectors", absent["vectors"] + torch.tensor([0.0, 9.0])[:, None, None, None])
    assert differing(model, absent, loud) == set()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_has_a_gradient_even_without_rivers(
    config: WaterMAE, data: WaterData, variant: str
) -> None:
    task = WaterMAETask(config)
    batch = task.training_batch(data, np.array([0, 1]), KEYS)
    assert batch["vector_present"].tolist() == [[1, 0], [1, 0]]
    model = build(config, data, **VARIANTS[variant])
    torch.autograd.backward([value.sum() for value in model(batch).values()])
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("film_mode", ["tanh", "one_plus"])
def test_gradients_reach_attributes_and_modality_tokens(
    config: WaterMAE, data: WaterData, batch: Batch, film_mode: str
) -> None:
    model = build(config, data, film_mode=film_mode)
    torch.autograd.backward([value.square().sum() for value in model(batch).values()])
    for name, parameter in model.named_parameters():
        if "attributes" in name or "film" in name or "modality" in name:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_modality_tokens_are_registered_once(config: WaterMAE, data: WaterData) -> None:
    names = [name for name in build(config, data).state_dict() if "modality" in name]
    assert sorted(names) == sorted(
        f"{side}_modality_tokens.{name}" for side in ("encoder", "decoder") for name in PUBLISHED_SET.names
    )


@pytest.mark.parametrize("name", ["temperature", "evaporation"])
@pytest.mark.parametrize(
    ("knobs", "independent"),
    [({}, True), ({"decoder_self_attention": True}, False), ({"decoder_type": "self"}, False)],
)
def test_queries_are_independent_unless_they_attend_to_each_other(
    config: WaterMAE, data: WaterData, batch: Batch, name: str, knobs: Mapping[str, Any], independent: bool
) -> None:
    model = build(config, data, **knobs)
    fewer = batch | {name: batch[name][..., :1] for name in ("image_masked", "vector_masked")}
    one, all_ = model(fewer)[name], model(batch)[name]
    assert torch.allclose(one[..., 0, :], all_[..., 0, :], atol=1e-6) == independent


@pytest.mark.parametrize(
    "variant", [name for name in VARIANTS if not name.startswith("reading")]
)  # an engine keeps positions in fp32
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_trains(
    config: WaterMAE, data: WaterData, batch: Batch, dtype: torch.dtype, variant: str
) -> None:
    model = build(config, data, **VARIANTS[variant])
    exact = model(batch)
    model.to(dtype)
    predictions = model(batch)
    for name, values in predictions.items():
        assert values.dtype == dtype
        assert torch.allclose(values.float(), exact[name], atol=0.1), name
    torch.autograd.backward([value.float().square().mean() for value in predictions.values()])
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


ALTERNATIVES: dict[str, Any] = {
    "dim": 24,
    "num_heads": 4,
    "image_depth": 1,
    "vector_depth": 1,
    "shared_depth": 2,
    "mlp_ratio": 3,
    "dropout": 0.3,
    "film_mode": "one_plus",
    "film_scope": "global",
    "decoder_dim": 16,
    "decoder_num_heads": 4,
    "decoder_depth": 1,
    "decoder_self_attention": True,
    "decoder_type": "self",
    "weighted_feature_maps": True,
    "feature_map_layers": (1,),
    "feature_map_input": True,
    "interpolation": "read",
    "interpolate_anomalies": True,
}
NEEDED: Mapping[str, Mapping[str, Any]] = {
    **{name: {"weighted_feature_maps": True} for name in ("feature_map_layers", "feature_map_input")},
    "interpolate_anomalies": {"interpolation": "read"},
}


def test_every_knob_of_the_model_is_tried_below() -> None:
    assert set(ALTERNATIVES) == set(ModelKnobs.model_fields)


@pytest.mark.parametrize("knob", sorted(ALTERNATIVES))
def test_every_knob_of_the_model_is_alive(config: WaterMAE, data: WaterData, batch: Batch, knob: str) -> None:
    assert getattr(config.model, knob) != ALTERNATIVES[knob]
    needed = NEEDED.get(knob, {})
    before = build(config, data, **needed)
    after = build(config, data, **needed, **{knob: ALTERNATIVES[knob]})
    torch.manual_seed(1)
    outputs = before(batch)
    torch.manual_seed(1)
    others = after(batch)
    assert any(not torch.allclose(outputs[name], others[name], atol=1e-6) for name in PUBLISHED_SET.names)


def test_position_tables_differ_in_size_with_the_land(
    config: WaterMAE, make_data: Callable[..., WaterData]
) -> None:
    small, large = (build(config, make_data(num_patches=number)) for number in (4, 8))
    assert num_parameters(large) > num_parameters(small)
