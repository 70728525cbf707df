from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from thalweg.config import flat
from thalweg.events import Event, TrialStarted
from thalweg.search.controller import StudyController
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from trainables.rgb_lidar.chain.knobs import MAKES, NEEDS, STAGES, ChainKnobs, ProjectorKnobs, SimilarityKnobs
from trainables.rgb_lidar.config import PRESETS, RGBLidar


def test_the_first_chain_is_the_published_one() -> None:
    config = PRESETS["first_chain"]
    model = config.model
    assert isinstance(model, ChainKnobs)
    assert model.stages == ("cilp", "classifier", "projector")
    assert (config.optimization.lr, config.optimization.batch_size) == (1e-4, 32)
    assert (model.shares.cilp, model.shares.classifier, model.shares.projector) == (10, 5, 15)  # epochs
    assert config.optimization.lr * model.lr_scales.projector == pytest.approx(5e-4)
    assert (model.similarity.temperature, model.similarity.initial_temperature) == ("learnable", 0.07)
    assert (model.projector.target, model.projector.loss) == ("penultimate", "mse")
    assert config.data.lidar_norm == "scaled"


def test_the_second_chain_is_the_published_one() -> None:
    config = PRESETS["second_chain"]
    model = config.model
    assert isinstance(model, ChainKnobs)
    assert model.stages == STAGES
    assert (model.shares.cilp, model.shares.projector, model.shares.finetune) == (3, 40, 5)  # epochs
    rates = [
        config.optimization.lr * scale for scale in (model.lr_scales.projector, model.lr_scales.finetune)
    ]
    assert rates == pytest.approx([1e-3, 1e-3])
    assert (model.similarity.temperature, model.similarity.logit_map) == ("none", "half_cosine")
    assert model.projector.target == "maps"
    assert model.finetune_frozen == "nothing"
    assert (config.data.rgb_channels, config.data.lidar_repr, config.data.lidar_norm) == (4, "depth", "raw")


@given(stages=st.lists(st.sampled_from(STAGES), max_size=5))
def test_stages_are_some_in_their_order(stages: list[Any]) -> None:
    places = [STAGES.index(stage) for stage in stages]
    if stages and places == sorted(set(places)):
        assert ChainKnobs(stages=tuple(stages)).stages == tuple(stages)
    else:
        with pytest.raises(ValidationError, match=r"stages must be some of cilp, classifier|at least 1 item"):
            ChainKnobs(stages=tuple(stages))


@pytest.mark.parametrize(
    ("stages", "missing"),
    [
        (("projector",), "cilp and classifier"),
        (("cilp", "projector"), "classifier"),
        (("classifier", "projector", "finetune"), "cilp"),
        (("finetune",), "cilp and classifier and projector"),
        (("cilp", "classifier", "finetune"), "projector"),
    ],
)
def test_a_stage_without_what_it_builds_on_is_refused_with_the_way_out(stages: Any, missing: str) -> None:
    knobs = ChainKnobs(stages=stages)
    with pytest.raises(
        ValidationError, match=rf"got .* without {missing}; add these to model\.stages, or name a"
    ):
        RGBLidar(model=knobs)
    assert RGBLidar(model=knobs, starts_from=("somewhere",)).model == knobs


def test_every_part_that_a_stage_needs_is_made_by_an_earlier_one() -> None:
    for number, stage in enumerate(STAGES):
        made = frozenset[str]().union(*(MAKES[earlier] for earlier in STAGES[:number]))
        assert NEEDS[stage] <= made


def test_half_cosines_go_without_a_temperature() -> None:
    for temperature in ("learnable", "fixed"):
        with pytest.raises(ValidationError, match="must go without a temperature, got temperature"):
            SimilarityKnobs(temperature=temperature, logit_map="half_cosine")
    assert SimilarityKnobs(temperature="none", logit_map="half_cosine").logit_map == "half_cosine"


def test_hidden_layers_of_the_projector_halve() -> None:
    assert ProjectorKnobs().hidden_widths == (1000, 500)
    assert ProjectorKnobs(hidden_dim=3, depth=4).hidden_widths == (3, 1, 1, 1)
    assert ProjectorKnobs(depth=0).hidden_widths == ()


def test_a_configuration_says_which_kind_it_is() -> None:
    with pytest.raises(ValidationError, match="kind"):
        RGBLidar.model_validate({"model": {"kind": "mixture"}})
    assert RGBLidar.model_validate({"model": {"kind": "chain"}}).model == ChainKnobs()


def test_a_trial_of_contrastive_pre_training_is_recorded_without_the_knobs_of_other_stages(
    tmp_path: Path,
) -> None:
    ledger = Ledger.open(tmp_path, "cilp", load_space("rgb_lidar_cilp"))
    told: list[Event] = []
    proposal = StudyController(ledger, told.append, num_lanes=1).propose()
    assert isinstance(proposal, Proposal)
    (started,) = told
    assert isinstance(started, TrialStarted)
    left_out = set(flat(proposal.config)) - set(started.config)
    assert started.config.items() <= flat(proposal.config).items()
    idle = ("model.classifier.", "model.projector.", "model.shares.", "model.finetune_frozen")
    assert {name for name in flat(proposal.config) if name.startswith(idle)} <= left_out
    assert not [name for name in left_out if name.startswith(("model.embedder.", "data.", "model.stages"))]
    assert len(left_out) >= 18
    ledger.close()
