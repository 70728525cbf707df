"""Losses, stages and metrics of the chain, by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests import tasks
from thalweg.contract import Batch
from thalweg.nn.contrastive.retrieval import recall_at_1
from thalweg.stage_contract import Progress, Rows
from thalweg.training.engine.engine import parameter_groups, train_mode
from trainables.rgb_lidar.chain import projection
from trainables.rgb_lidar.chain.knobs import STAGES, ChainKnobs, SimilarityKnobs
from trainables.rgb_lidar.chain.model import ChainNetwork
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.data.scenes import RGBLidarData
from trainables.rgb_lidar.evaluation import contrast
from trainables.rgb_lidar.evaluation.classification import LIDAR_METRICS, METRICS, log_odds
from trainables.rgb_lidar.evaluation.retrieval import POOL, RETRIEVAL
from trainables.rgb_lidar.scene_task import SceneTask
from trainables.rgb_lidar.task import task_for

KEYS = np.zeros(32, np.uint64)


def now(stage: str) -> Progress:
    return Progress(samples=0, total_samples=100, stage=stage, stage_ratio=0.0)


def changed(chain: RGBLidar, **knobs: Any) -> RGBLidar:
    return chain.model_copy(update={"model": chain.model.model_copy(update=knobs)})


def build(config: RGBLidar, data: RGBLidarData | None = None) -> tuple[SceneTask, ChainNetwork]:
    torch.manual_seed(0)
    task = task_for(config)
    model = task.build(None if data is None else task.facts(data))
    assert isinstance(model, ChainNetwork)
    return task, model.eval()


def scenes(data: RGBLidarData, config: RGBLidar, count: int = 12) -> Batch:
    return task_for(config).training_batch(data, np.arange(count), KEYS[:count])


def clip(rgb: Tensor, lidar: Tensor, scale: float, offset: float = 0.0) -> float:
    """The symmetric loss as the papers print it, summed: all logits at once."""
    logits = scale * rgb @ lidar.T + offset
    labels = torch.arange(len(rgb))
    both = [nn.functional.cross_entropy(each, labels, reduction="sum") for each in (logits, logits.T)]
    return float((sum(both) / 2).detach())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("similarity", "scale", "offset"),
    [
        (SimilarityKnobs(), 1 / 0.07, 0.0),
        (SimilarityKnobs(temperature="fixed", initial_temperature=0.2), 5.0, 0.0),
        (SimilarityKnobs(temperature="none"), 1.0, 0.0),
        (SimilarityKnobs(temperature="none", logit_map="half_cosine"), 0.5, 0.5),
    ],
)
def test_the_contrastive_loss_is_the_published_one(
    chain: RGBLidar, data: RGBLidarData, similarity: SimilarityKnobs, scale: float, offset: float
) -> None:
    config = changed(chain, similarity=similarity)
    task, model = build(config, data)
    batch = scenes(data, config)
    loss = tasks.joint_losses(task, tasks.embed(task, model, batch, now("cilp")), now("cilp"))["info_nce"]
    outputs = model(batch)
    expected = clip(outputs["rgb_embedding"], outputs["lidar_embedding"], scale, offset)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    rows = tasks.embed(task, model, batch, now("cilp"))
    assert tasks.joint_counts(task, rows, now("cilp")) == {"info_nce": 12.0}


@given(seed=st.integers(0, 999), spread=st.sampled_from([0.0, 0.3, 3.0]))
def test_half_cosines_stay_within_the_published_bounds(seed: int, spread: float) -> None:
    """At 32 scenes no embeddings are better than ln(e + 31) - 1 = 2.518, and chance is ln 32."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(32, 64, generator=generator)
    other = rows + spread * torch.randn(32, 64, generator=generator)
    rgb, lidar = (nn.functional.normalize(each, dim=1) for each in (rows, other))
    loss = float(joint({"rgb": 0.5 * rgb, "lidar": lidar})) / 32
    assert math.log(math.e + 31) - 1 < loss < math.log(32) + 0.1


def joint(embeddings: dict[str, Tensor]) -> Tensor:
    task = task_for(RGBLidar(model=ChainKnobs()))
    return tasks.joint_losses(task, Rows(embeddings=embeddings), now("cilp"))["info_nce"]


def test_the_bounds_of_the_second_experiment_are_reached() -> None:
    same = torch.ones(32, 1)
    assert float(joint({"rgb": 0.5 * same, "lidar": same})) / 32 == pytest.approx(math.log(32), rel=1e-6)
    floor = float(joint({"rgb": torch.eye(32), "lidar": torch.eye(32)})) / 32  # logits 1 and 0
    assert floor == pytest.approx(2.518, abs=5e-4)
    assert floor == pytest.approx(math.log(math.e + 31) - 1, rel=1e-6)


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_the_contrastive_loss_takes_any_number_of_scenes(
    chain: RGBLidar, data: RGBLidarData, count: int
) -> None:
    task, model = build(chain, data)
    batch = scenes(data, chain, count)
    rows = tasks.embed(task, model, batch, now("cilp"))
    assert {name: tuple(values.shape) for name, values in rows.embeddings.items()} == {
        "rgb": (count, 6),
        "lidar": (count, 6),
    }
    loss = float(tasks.joint_losses(task, rows, now("cilp"))["info_nce"].detach())
    assert loss >= 0 if count > 1 else loss == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("stage", "output", "name"), [("classifier", "lidar_odds", "lidar_"), ("finetune", "odds", "")]
)
def test_classifying_stages_lose_the_sum_of_what_their_metric_averages(
    chain: RGBLidar, data: RGBLidarData, stage: str, output: str, name: str
) -> None:
    task, model = build(chain, data)
    batch = scenes(data, chain)
    (part,) = tasks.losses(task, model, batch, now(stage)).items()
    odds = model(batch)[output]
    expected = nn.functional.binary_cross_entropy_with_logits(odds, batch["label"], reduction="sum")
    assert part[0] == f"{name}cross_entropy"
    torch.testing.assert_close(part[1], expected)
    metrics = tasks.metrics(task, model, batch)
    assert float(expected.detach()) / 12 == pytest.approx(metrics[f"{name}cross_entropy"], rel=1e-5)


def test_the_projector_loses_the_mean_over_the_target_s_values(chain: RGBLidar, data: RGBLidarData) -> None:
    losses = {}
    for kind in ("mse", "cosine", "smooth_l1"):
        config = changed(chain, projector=ChainKnobs().projector.model_copy(update={"loss": kind}))
        task, model = build(config, data)
        batch = scenes(data, config)
        losses[kind] = float(tasks.losses(task, model, batch, now("projector"))["projection"].detach())
        outputs = model(batch)
    square = float(((outputs["projection"] - outputs["target"]) ** 2).mean(1).sum().detach())
    assert losses["mse"] == pytest.approx(square, rel=1e-5)
    assert len(set(losses.values())) == 3


TRAINED = {
    "nothing": {"projector", "rgb", "classifier.output"},
    "rgb": {"projector", "classifier.output"},
    "rgb_and_head": {"projector"},
}


@pytest.mark.parametrize("target", ["penultimate", "maps"])
@pytest.mark.parametrize("frozen", sorted(TRAINED))
def test_each_stage_trains_its_parts_and_nothing_else(chain: RGBLidar, frozen: str, target: str) -> None:
    knobs = ChainKnobs().projector.model_copy(update={"target": target})
    config = changed(chain, finetune_frozen=frozen, projector=knobs)
    head = {"classifier.neck"} if target == "maps" and frozen != "rgb_and_head" else set()
    expected = {
        "cilp": {"rgb", "lidar", "temperature"},
        "classifier": {"classifier.maps", "classifier.neck", "classifier.output"},
        "projector": {"projector"},
        "finetune": TRAINED[frozen] | head,
    }
    for stage in task_for(config).stages():
        _, model = build(config)
        parameter_groups(model, stage, 1.0)
        names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        found = {".".join(name.split(".")[: 2 if name.startswith("classifier") else 1]) for name in names}
        assert found == expected[stage.name], stage.name


def test_only_a_learnable_temperature_is_trained(chain: RGBLidar) -> None:
    for kind, count in (("learnable", 3), ("fixed", 2), ("none", 2)):
        config = changed(chain, similarity=SimilarityKnobs(temperature=kind))
        assert len(task_for(config).stages()[0].groups) == count


def test_weight_decay_spares_the_temperature_alone(chain: RGBLidar) -> None:
    groups = [group for stage in task_for(chain).stages() for group in stage.groups]
    assert {group.prefix for group in groups if not group.decay} == {"temperature."}
    assert len(groups) > 4


def test_a_frozen_part_has_no_dropout(chain: RGBLidar, data: RGBLidarData) -> None:
    classifier = ChainKnobs().classifier.model_copy(update={"dropout": 0.5})
    config = changed(chain, classifier=classifier)
    task, model = build(config, data)
    stages = {stage.name: stage for stage in task.stages()}
    batch = scenes(data, config)
    for name, equal in (("classifier", False), ("projector", True)):
        parameter_groups(model, stages[name], 1.0)
        train_mode(model, stages[name])
        assert torch.equal(model.target(batch), model.target(batch)) is equal


def test_the_budget_goes_to_the_stages_that_there_are(chain: RGBLidar) -> None:
    stages = task_for(chain).stages()
    assert [stage.name for stage in stages] == list(STAGES)
    assert [stage.share * 35 for stage in stages] == pytest.approx([10, 5, 15, 5])
    assert [stage.is_joint for stage in stages] == [True, False, False, False]
    assert [{group.lr_scale for group in stage.groups} for stage in stages] == [{1.0}, {1.0}, {5.0}, {1.0}]
    later = changed(chain, stages=("projector", "finetune")).model_copy(update={"starts_from": ("a",)})
    assert [stage.share for stage in task_for(later).stages()] == pytest.approx([0.75, 0.25])


MEASURED = {
    ("cilp",): {"retrieval_r1", "retrieval_r1_se", "contrastive_loss_32"},
    ("classifier",): {"lidar_cross_entropy", "lidar_accuracy"},
    ("finetune",): {
        "cross_entropy",
        "accuracy",
        "precision",
        "recall",
        "f1",
        "lidar_cross_entropy",
        "lidar_accuracy",
        "projection_error",
    },
}


@pytest.mark.parametrize("stages", sorted(MEASURED))
def test_what_is_measured_depends_on_the_parts(chain: RGBLidar, data: RGBLidarData, stages: Any) -> None:
    config = changed(chain, stages=stages)
    task, model = build(config, data)
    metrics = tasks.metrics(task, model, task.evaluation_batch(data, "val", np.arange(12)))
    assert set(metrics) == set(tasks.names(task)) == MEASURED[stages]
    assert set(tasks.names(task_for(chain))) == {
        metric.name
        for metric in (*METRICS, *LIDAR_METRICS, *RETRIEVAL.metrics, contrast.METRIC, projection.METRIC)
    }


def test_what_is_measured_is_what_the_outputs_tell(chain: RGBLidar, data: RGBLidarData) -> None:
    task, model = build(chain, data)
    batch = task.evaluation_batch(data, "val", np.arange(12))
    metrics, outputs = tasks.metrics(task, model, batch), model(batch)
    right = (outputs["odds"] > 0) == (batch["label"] == 1)
    scans = (outputs["lidar_odds"] > 0) == (batch["label"] == 1)
    assert metrics["accuracy"] == pytest.approx(float(right.float().mean()))
    assert metrics["lidar_accuracy"] == pytest.approx(float(scans.float().mean()))
    assert metrics["retrieval_r1"] == recall_at_1(outputs["rgb_embedding"], outputs["lidar_embedding"], POOL)
    target = outputs["target"].detach()
    error = ((outputs["projection"].detach() - target) ** 2).mean() / target.var(0, correction=0).mean()
    assert metrics["projection_error"] == pytest.approx(float(error), rel=1e-4)


def test_metrics_do_not_depend_on_temperature_loss_or_batch(chain: RGBLidar, data: RGBLidarData) -> None:
    _, model = build(chain, data)
    found = []
    for similarity in (SimilarityKnobs(), SimilarityKnobs(temperature="fixed", initial_temperature=0.5)):
        projector = ChainKnobs().projector.model_copy(update={"loss": "cosine"})
        task = task_for(changed(chain, similarity=similarity, projector=projector))
        batch = task.evaluation_batch(data, "val", np.arange(12))
        found.append(tasks.metrics(task, model, batch))
    assert found[0] == found[1]


def test_fusion_and_chain_have_one_protocol(config: RGBLidar, chain: RGBLidar) -> None:
    assert task_for(chain).protocol() == task_for(config).protocol()
    maps = ChainKnobs().projector.model_copy(update={"target": "maps"})
    assert task_for(changed(chain, projector=maps)).protocol() == task_for(chain).protocol()


def test_what_knows_nothing_retrieves_by_chance(chain: RGBLidar, data: RGBLidarData) -> None:
    task = task_for(chain)
    batch = task.evaluation_batch(data, "val", np.arange(12))
    found = {name: tasks.metrics(task, baseline, batch) for name, baseline in task.baselines(data).items()}
    assert set(found) == {"majority_class", "coarse_likeness"}
    assert found["majority_class"]["retrieval_r1"] == pytest.approx(1 / 12)
    assert found["majority_class"]["lidar_cross_entropy"] == pytest.approx(math.log(2), rel=1e-3)
    assert "projection_error" not in found["majority_class"]


def test_where_nothing_is_classified_chance_is_called_so(chain: RGBLidar, data: RGBLidarData) -> None:
    task = task_for(changed(chain, stages=("cilp",)))
    batch = task.evaluation_batch(data, "val", np.arange(12))
    found = task.baselines(data)
    assert set(found) == {"chance", "coarse_likeness"}
    assert tasks.metrics(task, found["chance"], batch)["retrieval_r1"] == pytest.approx(1 / 12)


@pytest.mark.parametrize("target", ["penultimate", "maps"])
@pytest.mark.parametrize("num_logits", [1, 2])
def test_what_is_exported_tells_the_same_from_images_alone(
    chain: RGBLidar, data: RGBLidarData, target: str, num_logits: int
) -> None:
    assert isinstance(chain.model, ChainKnobs)
    config = changed(
        chain,
        projector=chain.model.projector.model_copy(update={"target": target}),
        classifier=chain.model.classifier.model_copy(update={"num_logits": num_logits}),
    )
    task, model = build(config, data)
    batch = scenes(data, config)
    logits = task.parts()["images"](model).eval()(batch["rgb"])
    assert logits.shape == (12, num_logits)
    assert torch.equal(log_odds(logits), model.odds(batch))
    images = task.parts()["images"](model).state_dict()
    head = {"0", "1"} if target == "maps" else {"0"}
    assert {name.partition(".")[0] for name in images} == {"rgb", "projector", "head"}
    assert {name.split(".")[1] for name in images if name.startswith("head.")} == head
    _, again = build(config, data)
    for weight in again.parameters():
        torch.nn.init.zeros_(weight)
    exported = task.parts()["images"](again)
    exported.load_state_dict(images)
    assert torch.equal(exported(batch["rgb"]), logits)


def test_what_does_not_classify_images_has_no_such_part(chain: RGBLidar, config: RGBLidar) -> None:
    assert not task_for(changed(chain, stages=("cilp",))).parts()
    assert not task_for(config).parts()
