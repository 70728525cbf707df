"""What may be changed of a configuration, and what is refused at once."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import ConfigDict, ValidationError

from thalweg.config import FamilyConfig, Knobs, Optimization, Presets, check, explain, flat, identity, parse
from thalweg.errors import ConfigError, DiscoveryError, KnobError
from thalweg.study import Study
from trainables.geo_contrastive.config import PRESETS as FIELDS
from trainables.rgb_lidar.chain.knobs import ChainKnobs
from trainables.rgb_lidar.config import PRESETS as PAIRS
from trainables.rgb_lidar.knobs import FusionKnobs
from trainables.water_mae.config import PRESETS, MaskingKnobs

BASE = PRESETS["small"]


def test_a_mapping_changes_some_knobs_of_a_group_and_leaves_the_others() -> None:
    found = BASE.vary(seed=7, model={"dim": 32}, optimization={"lr": 1e-3})
    assert (found.seed, found.model.dim, found.optimization.lr) == (7, 32, 1e-3)
    again = found.vary(
        seed=BASE.seed, model={"dim": BASE.model.dim}, optimization={"lr": BASE.optimization.lr}
    )
    assert again == BASE
    assert type(found.model) is type(BASE.model)


def test_a_group_replaces_the_one_that_is_there() -> None:
    found = BASE.vary(masking=MaskingKnobs(image_mask_ratio=0.6), optimization=Optimization(lr=0.5))
    assert found.masking == MaskingKnobs(image_mask_ratio=0.6)
    assert found.optimization == Optimization(lr=0.5)
    assert found.model == BASE.model


def test_groups_within_groups_are_changed_too_and_can_be_varied_alone() -> None:
    chain = PAIRS["tiny_chain"]
    model = chain.vary(model={"stages": ("cilp",), "embedder": {"embedding_dim": 16}}).model
    assert isinstance(model, ChainKnobs) and isinstance(chain.model, ChainKnobs)
    assert model == chain.model.vary(stages=("cilp",), embedder={"embedding_dim": 16})
    assert model.embedder.channels == chain.model.embedder.channels
    assert model.projector == chain.model.projector


def test_a_mapping_that_names_another_kind_of_model_begins_with_its_defaults() -> None:
    chain = PAIRS["tiny"].vary(model={"kind": "chain", "stages": ("cilp",)})
    assert chain.model == ChainKnobs(stages=("cilp",))
    assert chain.vary(model={"kind": "fusion", "neck_dim": 16}).model == FusionKnobs(neck_dim=16)
    assert PAIRS["tiny"].vary(model={"kind": "fusion"}) == PAIRS["tiny"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": {}}, "knobs must exist, got modle; did you mean model\\? `thalweg describe`"),
        (
            {"model": {"image_dept": 2}, "sead": 1},
            r"got model\.image_dept, sead; did you mean model\.image_depth, seed\?",
        ),
        ({"model": {"zzz": 2}}, r"got model\.zzz; `thalweg describe` lists them all"),
        ({"model": {"image_depth": 0}}, r"model\.image_depth: input should be .* equal to 1, got 0"),
        ({"data": {"stride": 9}}, "data: stride must be at most sequence_length, got 9 > 8"),
        ({"seed": "one"}, "seed: .*integer.* got 'one'"),
        ({"model": {1: 2}}, r"must be text, got 1 in model; write model=\{'NAME': 2\}"),
        ({"model": {(1, 2): 3}}, r"must be text, got \(1, 2\) in model;"),
        ({"model": {b"dim": 3}}, r"must be text, got b'dim' in model;"),
        ({"model": {"dim": {1: 2}}}, r"model\.dim: input should be a valid integer, got \{1: 2\}"),
        ({"model": PAIRS["tiny"].model}, r"model: input should be .* ModelKnobs, got FusionKnobs$"),
    ],
)
def test_what_is_unknown_or_out_of_its_bounds_is_refused_at_once(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        BASE.vary(**changes)


def test_a_knob_that_another_kind_lacks_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match=r"model\.chain\.neck_dim: extra inputs are not permitted"):
        PAIRS["tiny"].vary(model={"kind": "chain", "neck_dim": 16})


def test_a_misspelt_knob_of_a_new_group_is_told_the_one_that_was_meant() -> None:
    with pytest.raises(ValidationError) as raised:
        Study.model_validate({"metric": "skill", "mode": "max", "samples": 8, "trials": 16})
    assert explain(raised.value) == "trials: extra inputs are not permitted, got 16; did you mean num_trials?"
    with pytest.raises(ConfigError, match=r"^optimization\.lrr: extra .*, got 1; did you mean lr\?$"):
        parse(type(BASE), {"dataset": "tiny", "optimization": {"lrr": 1}})
    with pytest.raises(ConfigError, match=r"^nothing_like_it: extra .*, got 1$"):
        parse(type(BASE), {"dataset": "tiny", "nothing_like_it": 1})


def test_laws_between_groups_are_kept() -> None:
    with pytest.raises(ConfigError, match="must be None when decoder_type is self"):
        BASE.vary(model={"decoder_type": "self"}, masking={"image_kept_mask_ratio": 0.2})


def test_knobs_within_groups_within_groups_are_named_by_text() -> None:
    with pytest.raises(ConfigError, match=r"must be text, got None in model\.embedder; write"):
        PAIRS["tiny_chain"].vary(model={"embedder": {None: 1}})


@pytest.mark.parametrize("presets", [PRESETS, PAIRS, FIELDS])
def test_an_unknown_preset_is_told_the_one_that_was_meant(presets: Presets[FamilyConfig]) -> None:
    with pytest.raises(DiscoveryError, match=r"no preset 'tinny' in PRESETS; did you mean 'tiny'\? .*, tiny"):
        presets["tinny"]
    with pytest.raises(DiscoveryError, match=r"no preset 1 in PRESETS \(found: "):
        presets[1]  # type: ignore[index]
    assert presets.get("tinny") is None and "tinny" not in presets


@pytest.mark.parametrize(
    ("changes", "alone"),
    [
        ({"optimization": {"lr": 1e9}}, True),
        ({"optimization": {"batch_size": "many"}}, True),
        ({"modle": {}}, True),
        ({"data": {"stride": 9}}, False),
        ({"optimization": {"beta1": 0.5, "optimizer": "sgd"}}, False),
    ],
)
def test_a_knob_that_is_wrong_by_itself_is_told_from_a_law_between_knobs(
    changes: dict[str, Any], alone: bool
) -> None:
    with pytest.raises(ConfigError) as raised:
        BASE.vary(**changes)
    assert isinstance(raised.value, KnobError) is alone


def test_a_recorded_knob_out_of_its_bounds_is_told_from_a_law_between_knobs() -> None:
    with pytest.raises(KnobError, match=r"optimization\.lr: .* got 3"):
        parse(type(BASE), {"dataset": "tiny", "optimization": {"lr": 3}})
    with pytest.raises(ConfigError, match="stride must be at most") as raised:
        parse(type(BASE), {"dataset": "tiny", "data": {"stride": 9, "sequence_length": 8}})
    assert not isinstance(raised.value, KnobError)


def test_a_copy_with_a_misspelt_knob_is_told_the_one_that_is_meant() -> None:
    with pytest.raises(ConfigError, match="knobs must exist, got optimisation; did you mean optimization"):
        check(BASE.model_copy(update={"optimisation": Optimization()}))


class Weights(Knobs):
    """A group of any names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float]

    rain: float = 1.0
    """A weight that is always there."""


class Judged(Knobs):
    """A knob whose default older studies spelled out."""

    recorded: ClassVar[Mapping[str, Any]] = {"names": ["rain", "snow"]}

    names: tuple[str, ...] | None = None
    """None is all."""


class Open(FamilyConfig):
    """A configuration with both."""

    weights: Weights = Weights()
    """Any names."""
    judged: Judged = Judged()
    """All, or some."""


def test_a_group_of_any_names_varies_and_keeps_what_it_has() -> None:
    config = Open(dataset="none").vary(weights={"snow": 2.0}).vary(weights={"rain": 3.0})
    assert config.weights.model_dump() == {"rain": 3.0, "snow": 2.0}
    assert flat(config)["weights.snow"] == 2.0
    assert parse(Open, config.model_dump(mode="json")) == config == check(config)
    with pytest.raises(ConfigError, match=r"weights\.snow: input should be a valid number"):
        config.vary(weights={"snow": "much"})


def test_a_default_is_identified_as_older_studies_recorded_it() -> None:
    config = Open(dataset="none")
    assert identity(config)["judged"] == {"names": ["rain", "snow"]}
    assert identity(config.vary(judged={"names": ("rain",)}))["judged"] == {"names": ["rain"]}
