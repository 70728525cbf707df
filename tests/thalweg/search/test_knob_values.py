"""Text of a command becomes values of knobs."""

from typing import Any

import pytest

from thalweg.config import FamilyConfig, active
from thalweg.errors import ConfigError, KnobError
from thalweg.search.knob_values import with_knobs
from trainables.rgb_lidar.config import PRESETS
from trainables.water_mae.config import PRESETS as WATER


def changed(given: dict[str, str], preset: str = "tiny") -> dict[str, Any]:
    return with_knobs(PRESETS[preset], given, "rgb_lidar").model_dump()


def test_nothing_given_changes_nothing() -> None:
    assert with_knobs(PRESETS["tiny"], {}, "rgb_lidar") == PRESETS["tiny"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("seed", "7", 7),
        ("optimization.lr", "1e-4", 1e-4),
        ("optimization.lr", "1", 1.0),
        ("optimization.micro_batch_size", "4", 4),
        ("optimization.micro_batch_size", "null", None),
        ("optimization.micro_batch_size", "None", None),
        ("optimization.precision", "bf16", "bf16"),
        ("optimization.precision", "'bf16'", "bf16"),
        ("model.fusion", "add", "add"),
        ("model.normalize_embeddings", "true", True),
        ("model.normalize_embeddings", "True", True),
        ("data.rgb_channels", "3", 3),
    ],
)
def test_text_is_read_as_the_knob_s_type(name: str, text: str, value: Any) -> None:
    found: Any = changed({name: text})
    for part in name.split("."):
        found = found[part]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", ['["cilp", "classifier", "projector"]', "('cilp', 'classifier', 'projector')"]
)
def test_a_list_is_read_as_json_or_python_writes_it(text: str) -> None:
    config = with_knobs(PRESETS["tiny_chain"], {"model.stages": text}, "rgb_lidar")
    assert config.model_dump()["model"]["stages"] == ("cilp", "classifier", "projector")


def test_text_that_looks_like_a_number_stays_text_where_the_knob_takes_text() -> None:
    assert changed({"model.fusion": "3"})["model"]["fusion"] == "3"


def test_another_kind_of_group_starts_from_its_defaults_and_takes_its_knobs() -> None:
    found = changed({"model.projector.depth": "0", "model.kind": "chain"})["model"]
    assert (found["kind"], found["projector"]["depth"]) == ("chain", 0)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("lr", r"did you mean optimization\.lr\?"),
        ("optimization.lrr", r"did you mean optimization\.lr\?"),
        ("batchsize", r"did you mean optimization\.batch_size\?"),
        ("model.fusoin", r"did you mean model\.fusion\?"),
        ("tide", r"no knob 'tide' in rgb_lidar \(`thalweg describe rgb_lidar` lists them all\)"),
        ("seed.seed", r"did you mean seed\?"),
        ("model.", r"no knob 'model\.'"),
    ],
)
def test_an_unknown_knob_is_answered_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(KnobError, match=meant):
        changed({name: "1"})


@pytest.mark.parametrize(
    ("name", "text", "law"),
    [
        ("model.channels", "2.5", r"model\.channels: input should be a valid integer.*got '2\.5'"),
        ("model.channels", "true", r"model\.channels: input should be a valid integer.*got 'true'"),
        ("model.channels", "many", r"model\.channels: input should be a valid integer.*got 'many'"),
        ("optimization.lr", "fast", r"optimization\.lr: input should be a valid number.*describe rgb_lidar"),
        ("model.normalize_embeddings", "1", r"input should be a valid boolean.*got '1'"),
        ("optimization.precision", "fp8", r"'fp32', 'bf16' or 'fp16'.*got 'fp8'"),
        ("optimization.lr", "-1", r"optimization\.lr: input should be greater than 0, got -1"),
        ("optimization", "{}", r"knob by knob, got optimization=\{\}; name optimization\.optimizer, "),
        ("model.kind", "sum", r"model: input tag 'sum'"),
        ("model.max_channels", "1", r"max_channels must be at least channels"),
    ],
)
def test_a_value_of_another_type_or_out_of_bounds_is_refused(name: str, text: str, law: str) -> None:
    with pytest.raises(ConfigError, match=law):
        changed({name: text})


@pytest.mark.parametrize(
    ("given", "preset"),
    [
        ({"optimization.momentum": "0.9"}, "tiny"),
        ({"model.fusion_stage": "intermediate", "model.embedding_dim": "64"}, "tiny"),
        ({"model.shares.cilp": "5"}, "first_cilp"),
        ({"model.projector.hidden_dim": "64"}, "first_cilp"),
    ],
)
def test_a_knob_without_effect_is_refused(given: dict[str, str], preset: str) -> None:
    with pytest.raises(ConfigError, match=r"must change something.*got (optimization|model)\.\w+"):
        changed(given, preset)


@pytest.mark.parametrize(
    "preset", [PRESETS["tiny"], PRESETS["tiny_chain"], WATER["tiny"]], ids=["fusion", "chain", "water"]
)
def test_every_knob_of_a_preset_can_be_given_as_it_is_shown(preset: FamilyConfig) -> None:
    given = {name: str(value) for name, value in active(preset).items()}
    assert with_knobs(preset, given, "any") == preset
    for name, text in given.items():
        assert with_knobs(preset, {name: text}, "any") == preset, name


def test_a_weight_of_a_modality_of_one_s_own_is_a_knob() -> None:
    rows = [
        {"name": "rain", "kind": "field", "unit": "mm/day"},
        {"name": "level", "kind": "series", "unit": "m"},
    ]
    own = WATER["tiny"].vary(data={"modalities": rows})
    assert with_knobs(own, {"loss_weights.rain": "3"}, "water_mae").weights_at(0.0) == {
        "rain": 3.0,
        "level": 1.0,
    }
    with pytest.raises(KnobError, match=r"loss_weights\.rain: .*number"):
        with_knobs(own, {"loss_weights.rain": "much"}, "water_mae")
