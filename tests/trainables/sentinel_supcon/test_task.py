"""The task: what it asks of the data, takes from other studies, draws, and compares itself with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import tasks
from thalweg.contract import SplitName
from thalweg.errors import ConfigError, DataError
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.model.scene_model import SceneModel
from trainables.sentinel_supcon.task import SceneTask

KEYS = np.arange(6, dtype=np.uint64)


def configured(**changes: Any) -> SentinelSupCon:
    model = {"width": 0.03, "embedding_dim": 8, **changes.pop("model", {})}
    data = {"size": 16, **changes.pop("data", {})}
    return PRESETS["tiny"].vary(dataset="facilities", model=model, data=data, **changes)


def on_land(**changes: Any) -> SentinelSupCon:
    data = {"size": 16, **changes.pop("data", {})}
    return PRESETS["small"].vary(dataset="land", model={"width": 0.03}, data=data, **changes)


@pytest.mark.parametrize(
    ("changes", "views"),
    [
        ({}, 2),
        ({"tuning": {"sup_delta": 0.0}}, 1),
        ({"views": {"augment": False}}, 1),
        ({"tuning": {"sup_delta": 0.0}, "pretraining": {"share": 0.5, "views": True}}, 2),
    ],
)
def test_both_views_are_made_only_if_a_loss_compares_them(
    facilities: PatchData, changes: dict[str, Any], views: int
) -> None:
    task = SceneTask(configured(**changes))
    batch = task.training_batch(facilities, np.arange(6), KEYS)
    assert batch["s1"].shape == (6, views, 2, 16, 16)
    assert batch["s2"].shape == (6, views, 4, 16, 16)


def test_a_model_carries_what_its_inputs_are_prepared_by(facilities: PatchData) -> None:
    facts = SceneTask(configured()).facts(facilities)
    assert facts["classes"] == list(facilities.classes)
    assert facts["bands"] == ["B04", "B03", "B02", "B08"]
    assert np.array_equal(facts["mean"], facilities.mean) and facts["mean"].shape == (6,)


def test_other_classes_and_larger_views_than_the_data_have_are_refused(
    facilities: PatchData, land: PatchData
) -> None:
    with pytest.raises(
        ConfigError,
        match=r"data\.classes must be those of facilities, \['CAFOs', .* vary\(data=\{\"classes\": \('CAFOs',",
    ):
        SceneTask(configured(data={"classes": ("a", "b"), "ignored": ()})).facts(facilities)
    with pytest.raises(ConfigError, match=r"data\.size must be at most the side of the scenes of"):
        SceneTask(on_land(data={"size": 32})).facts(land)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("target", ["single", "multi"])
def test_a_split_without_a_class_that_counts_is_refused(
    facilities: PatchData, split: SplitName, target: str
) -> None:
    bare, task = facilities.rows[split], SceneTask(configured(data={"target": target}))
    labels, multi = facilities.labels.copy(), facilities.multi.copy()
    labels[bare], multi[bare] = -1, False
    task.facts(facilities)
    with pytest.raises(
        DataError, match=rf"scenes of {split} in facilities must have classes .*, got none in \d"
    ):
        task.facts(replace(facilities, labels=labels, multi=multi))


class TestInheritance:
    def test_encoders_and_inputs_come_from_the_last_study(self) -> None:
        ours = configured(starts_from=("first", "second"), tuning={"mode": "linear", "sup_delta": 0.0})
        theirs = configured(
            model={"backbone": "shared", "embedding_dim": 16, "fusion": "gated"},
            data={"scaling": "image_max"},
        )
        found = SceneTask(ours).inherit({"first": configured(), "second": theirs})
        assert (found.model.backbone, found.model.embedding_dim) == ("shared", 16)
        assert (found.model.fusion, found.data.scaling) == ("concat", "image_max")
        assert found.tuning == ours.tuning
        assert SceneTask(found).starting_weights() == ("stem_s1.", "stem_s2.", "trunk.")

    def test_a_study_without_an_encoder_of_a_sensor_is_refused(self) -> None:
        ours = configured(starts_from=("radar",))
        with pytest.raises(ConfigError, match="got 'radar' without s2"):
            SceneTask(ours).inherit({"radar": configured(model={"scenario": "s1"})})
        alone = configured(starts_from=("both",), model={"scenario": "s2"})
        assert SceneTask(SceneTask(alone).inherit({"both": configured()})).starting_weights() == ("s2.",)


def test_encoders_are_exported_without_heads(facilities: PatchData) -> None:
    task = SceneTask(configured())
    model = task.build(task.facts(facilities)).eval()
    assert isinstance(model, SceneModel)
    batch = task.evaluation_batch(facilities, "val", np.arange(3))
    images = {sensor: batch[sensor][:, 0] for sensor in ("s1", "s2")}
    with torch.no_grad():
        expected = model.embed(images)
        part = task.parts()["encoders"](model)
        assert isinstance(part, SceneModel)
        found = part.embed(images)
    assert {name for name, _ in part.named_children()} == {"s1", "s2"}
    assert all(torch.equal(found[sensor], expected[sensor]) for sensor in expected)


@pytest.mark.parametrize(("target", "name"), [("single", "confusion.png"), ("multi", "calls.png")])
def test_calls_are_drawn(land: PatchData, target: str, name: str, tmp_path: Path) -> None:
    task = SceneTask(on_land(data={"target": target}))
    torch.manual_seed(0)
    task.draw(task.build(None).eval(), land, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


class TestBaselines:
    @pytest.mark.slow
    @pytest.mark.parametrize("target", ["single", "multi"])
    def test_both_sensors_beat_each_and_each_beats_class_shares(self, land: PatchData, target: str) -> None:
        task = SceneTask(on_land(data={"target": target}))
        batch = task.evaluation_batch(land, "train", np.arange(land.num_samples("train")))
        losses = {
            name: tasks.metrics(task, baseline, batch)["cross_entropy"]
            for name, baseline in task.baselines(land).items()
        }
        assert set(losses) == {"majority", "band_statistics", "band_statistics_s1", "band_statistics_s2"}
        both, one, two = (losses[f"band_statistics{name}"] for name in ("", "_s1", "_s2"))
        assert both < min(one, two) and max(one, two) < losses["majority"]

    def test_an_ignored_class_is_never_called(self, root: Path) -> None:
        task = SceneTask(configured())
        facilities = task.open(root)
        batch = task.evaluation_batch(facilities, "val", np.arange(facilities.num_samples("val")))
        for name, baseline in task.baselines(facilities).items():
            chances = baseline(batch)["logits"].softmax(1)
            assert bool((chances[:, 3] == 0).all()), name
            assert bool((chances.argmax(1) != 3).all()), name

    def test_the_majority_is_what_the_training_split_has_most(self, facilities: PatchData) -> None:
        task = SceneTask(configured())
        shares = facilities.class_shares("train")
        majority = task.baselines(facilities)["majority"]
        found = majority(task.evaluation_batch(facilities, "val", np.arange(2)))["logits"]
        assert facilities.classes[int(found[0].argmax())] == max(shares, key=lambda name: shares[name])
        assert torch.equal(found[0], found[1])
