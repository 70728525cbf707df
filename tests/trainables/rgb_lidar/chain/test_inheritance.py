from pathlib import Path
from typing import Any

import pytest
import torch

from thalweg.config import check
from thalweg.errors import ConfigError
from thalweg.training.checkpoints.frozen_weights import load_starting_points
from trainables.rgb_lidar.chain.knobs import ChainKnobs, Part, SimilarityKnobs, StageName
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.knobs import DataKnobs
from trainables.rgb_lidar.task import task_for


def wide(
    chain: RGBLidar,
    *stages: StageName,
    data: dict[str, Any] | None = None,
    starting_points: tuple[str, ...] = (),
) -> RGBLidar:
    """Returns a configuration of other sizes, with these stages."""
    knobs = chain.model
    assert isinstance(knobs, ChainKnobs)
    model = knobs.model_copy(
        update={
            "stages": stages,
            "embedder": knobs.embedder.model_copy(update={"embedding_dim": 9, "neck_dim": 11}),
            "similarity": SimilarityKnobs(temperature="fixed"),
            "classifier": knobs.classifier.model_copy(update={"neck_dim": 8, "num_logits": 1}),
            "projector": knobs.projector.model_copy(update={"hidden_dim": 5, "target": "maps"}),
        }
    )
    inputs = DataKnobs.model_validate({"rgb_channels": 3, "lidar_repr": "depth"} | (data or {}))
    return chain.model_copy(update={"model": model, "data": inputs, "starts_from": starting_points})


def later(chain: RGBLidar, *stages: StageName, starts_from: tuple[str, ...], **knobs: Any) -> RGBLidar:
    model = chain.model.model_copy(update={"stages": stages} | knobs)
    return check(chain.model_copy(update={"model": model, "starts_from": starts_from}))


def inherit(config: RGBLidar, **starting_points: RGBLidar) -> RGBLidar:
    return check(task_for(config).inherit(starting_points))


def test_a_contrastive_starting_point_gives_the_image_s_embedder_and_its_channels(chain: RGBLidar) -> None:
    start = wide(chain, "cilp")
    own = later(chain, "classifier", "projector", starts_from=("a",))
    found = inherit(own, a=start)
    assert isinstance(found.model, ChainKnobs) and isinstance(own.model, ChainKnobs)
    assert isinstance(start.model, ChainKnobs)
    assert found.model.embedder == start.model.embedder
    assert found.data == own.data.model_copy(update={"rgb_channels": 3})
    assert (found.model.classifier, found.model.projector) == (own.model.classifier, own.model.projector)
    assert found.starts_from == ("a",)


def test_two_starting_points_give_what_each_has(chain: RGBLidar) -> None:
    cilp = wide(chain, "cilp", data={"lidar_norm": "raw"})
    scans = wide(chain, "classifier", data={"rgb_channels": 4, "lidar_norm": "masked"})
    own = later(chain, "projector", "finetune", starts_from=("a", "b"))
    found = inherit(own, a=cilp, b=scans)
    assert isinstance(found.model, ChainKnobs) and isinstance(own.model, ChainKnobs)
    assert isinstance(cilp.model, ChainKnobs) and isinstance(scans.model, ChainKnobs)
    assert found.model.embedder == cilp.model.embedder
    assert found.model.classifier == scans.model.classifier
    assert found.model.projector == own.model.projector
    assert (found.data.rgb_channels, found.data.lidar_repr, found.data.lidar_norm) == (3, "depth", "masked")


def test_a_stage_that_goes_on_goes_on_with_what_the_starting_point_built(chain: RGBLidar) -> None:
    start = wide(chain, "cilp")
    own = later(chain, "cilp", starts_from=("a",), continue_parts=True)
    found = inherit(own, a=start)
    assert isinstance(found.model, ChainKnobs) and isinstance(start.model, ChainKnobs)
    assert (found.model.embedder, found.model.similarity) == (start.model.embedder, start.model.similarity)
    assert found.data == start.data


def test_the_later_of_two_starting_points_wins(chain: RGBLidar) -> None:
    first, second = wide(chain, "cilp"), later(chain, "cilp", starts_from=())
    found = inherit(later(chain, "classifier", "projector", starts_from=("a", "b")), a=first, b=second)
    assert isinstance(found.model, ChainKnobs) and isinstance(second.model, ChainKnobs)
    assert found.model.embedder == second.model.embedder
    assert found.data.rgb_channels == 4


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize(
    ("stages", "start"),
    [
        (("classifier", "projector", "finetune"), ("cilp",)),
        (("finetune",), ("projector",)),
        (("projector",), ("cilp", "classifier")),
        (("projector", "finetune"), ("cilp", "classifier", "projector", "finetune")),
        (("classifier", "projector"), ("cilp", "classifier", "projector", "finetune")),
    ],
)
def test_parts_that_are_taken_begin_with_the_weights_of_the_starting_point_and_no_others(
    chain: RGBLidar, stages: Any, start: Any, goes_on: bool, tmp_path: Path
) -> None:
    given = wide(chain, *start, starting_points=("before",))
    own = later(chain, *stages, starts_from=("a",), continue_parts=goes_on)
    config = inherit(own, a=given)
    weights = task_for(given).build(None).state_dict()
    torch.save({"weights": weights}, tmp_path / "a.pt")
    task = task_for(config)
    model = task.build(None)
    drawn = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert load_starting_points(model, {"a": str(tmp_path / "a.pt")}, task.starting_weights())["a"] > 0
    assert isinstance(config.model, ChainKnobs) and isinstance(given.model, ChainKnobs)
    taken: frozenset[Part] = config.model.parts & given.model.parts
    taken = taken if goes_on else taken - config.model.made
    for name, weight in model.state_dict().items():
        origin = weights if name.partition(".")[0] in taken else drawn
        assert torch.equal(weight, origin[name]), name


def test_a_temperature_comes_with_the_embedder_of_scans(chain: RGBLidar, tmp_path: Path) -> None:
    own = later(chain, "cilp", starts_from=("a",), continue_parts=True)
    model = task_for(own).build(None)
    torch.save({"weights": {"temperature.log_scale": torch.tensor([1.5])}}, tmp_path / "a.pt")
    load_starting_points(model, {"a": str(tmp_path / "a.pt")}, task_for(own).starting_weights())
    assert model.state_dict()["temperature.log_scale"].tolist() == [1.5]


def test_a_part_that_is_made_keeps_what_was_asked_and_one_that_is_taken_does_not(chain: RGBLidar) -> None:
    asked = {"hidden_dim": 6, "loss": "cosine", "target": "penultimate"}
    projector = ChainKnobs().projector.model_copy(update=asked)
    start = wide(chain, "cilp", "classifier", "projector", "finetune")
    own = later(chain, "projector", "finetune", starts_from=("a",), projector=projector)
    found = inherit(own, a=start).model
    assert isinstance(found, ChainKnobs) and isinstance(start.model, ChainKnobs)
    assert found.projector == projector
    assert (found.embedder, found.classifier) == (start.model.embedder, start.model.classifier)
    going = own.model_copy(update={"model": own.model.model_copy(update={"continue_parts": True})})
    assert isinstance(going_on := inherit(going, a=start).model, ChainKnobs)
    assert going_on.projector == start.model.projector


def test_the_inputs_of_a_part_that_is_made_are_its_own(chain: RGBLidar) -> None:
    own = later(chain, "classifier", "projector", starts_from=("a",))
    found = inherit(own, a=wide(chain, "cilp", "classifier", data={"lidar_norm": "raw"}))
    assert found.data == own.data.model_copy(update={"rgb_channels": 3})


def test_a_study_of_fusions_is_no_starting_point_of_a_chain(config: RGBLidar, chain: RGBLidar) -> None:
    own = later(chain, "classifier", "projector", starts_from=("a",))
    with pytest.raises(ConfigError, match="must start from studies of chains, got 'a', a study of fusions"):
        inherit(own, a=config)


def test_a_part_that_no_study_gives_is_named(chain: RGBLidar) -> None:
    own = later(chain, "projector", starts_from=("a",))
    with pytest.raises(
        ConfigError, match="got none of a with classifier; add the stage classifier or a study"
    ):
        inherit(own, a=wide(chain, "cilp"))


def test_a_starting_point_without_a_part_of_the_model_is_refused(chain: RGBLidar) -> None:
    own = later(chain, "cilp", starts_from=("a",))
    with pytest.raises(
        ConfigError, match=r"got 'a' with classifier where it takes nothing and cilp make lidar, rgb; leave"
    ):
        inherit(own, a=wide(chain, "classifier"))


def test_parts_that_read_scans_must_read_them_alike(chain: RGBLidar) -> None:
    own = later(chain, "cilp", "classifier", starts_from=("a", "b"), continue_parts=True)
    starting_points = {"a": wide(chain, "cilp"), "b": wide(chain, "classifier", data={"lidar_norm": "raw"})}
    with pytest.raises(ConfigError, match=r"must come from studies that read them alike, got .*'raw'"):
        inherit(own, **starting_points)


def test_a_projector_comes_with_the_networks_it_was_trained_for(chain: RGBLidar) -> None:
    own = later(chain, "finetune", starts_from=("whole", "other"))
    whole = wide(chain, "cilp", "classifier", "projector")
    with pytest.raises(
        ConfigError, match="projector from 'whole' and classifier from 'other'; name that study last"
    ):
        inherit(own, whole=whole, other=wide(chain, "classifier"))
    turned = later(chain, "finetune", starts_from=("other", "whole"))
    found = inherit(turned, other=wide(chain, "classifier"), whole=whole).model
    assert isinstance(found, ChainKnobs) and isinstance(whole.model, ChainKnobs)
    assert found.projector == whole.model.projector


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize(
    ("stages", "stale"),
    [
        (("cilp", "finetune"), "rgb made here"),
        (("classifier", "finetune"), "classifier made here"),
        (("cilp", "classifier", "finetune"), "rgb made here and classifier made here"),
    ],
)
def test_a_projector_is_not_taken_where_a_stage_makes_what_it_was_trained_for(
    chain: RGBLidar, stages: Any, stale: str, goes_on: bool
) -> None:
    own = later(chain, *stages, starts_from=("a",), continue_parts=goes_on)
    with pytest.raises(ConfigError, match=f"got projector from 'a' and {stale}; .* with the stage projector"):
        inherit(own, a=wide(chain, "cilp", "classifier", "projector"))


def test_embedders_from_two_studies_share_their_knobs(chain: RGBLidar) -> None:
    whole = wide(chain, "cilp", "classifier", "projector")
    assert isinstance(whole.model, ChainKnobs)
    pooled = whole.model.embedder.model_copy(update={"downsampling": "avgpool"})
    narrow = whole.model_copy(
        update={"model": whole.model.model_copy(update={"embedder": pooled, "stages": ("projector",)})}
    )
    own = later(chain, "cilp", "projector", starts_from=("a", "b"), continue_parts=True)
    with pytest.raises(
        ConfigError, match="both embedders share their knobs, got rgb from 'b' and lidar from 'a'"
    ):
        inherit(own, a=wide(chain, "cilp"), b=narrow)
