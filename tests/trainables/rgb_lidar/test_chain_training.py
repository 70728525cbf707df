"""The chain in training, on real DeepSpeed: what is frozen stays, what was learnt comes along."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests import tasks
from thalweg.config import Optimization, check
from thalweg.training.checkpoints import checkpoint, milestones
from thalweg.training.hold_out import evaluate
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session
from trainables.rgb_lidar.chain.knobs import ChainKnobs, LrScaleKnobs, ShareKnobs
from trainables.rgb_lidar.config import RGBLidar
from trainables.rgb_lidar.task import task_for

pytestmark = pytest.mark.slow

SAMPLES = 64  # of each stage
DECAY = 0.1  # would move a weight that an optimizer holds without a gradient
NAMES = ("cilp", "classifier", "projector", "finetune")

Weights = dict[str, Tensor]
Trained = tuple[list[Report], list[Weights]]
Train = Callable[..., Trained]


@pytest.fixture(scope="module")
def train(
    chain_knobs: ChainKnobs, root: Path, world: ProcessGroup, tmp_path_factory: pytest.TempPathFactory
) -> Train:
    """Trains a chain and returns its reports and its weights after each stage."""

    def run(
        opt: dict[str, Any] | None = None,
        starting_points: dict[str, str] | None = None,
        starts_from: tuple[str, ...] = (),
        **knobs: Any,
    ) -> Trained:
        shares = ShareKnobs(cilp=1, classifier=1, projector=1, finetune=1)
        model = chain_knobs.model_copy(update={"shares": shares, "lr_scales": LrScaleKnobs()} | knobs)
        optimization = Optimization.model_validate({"lr": 1e-2, "batch_size": 16} | (opt or {}))
        config = RGBLidar(
            dataset="mini",
            model=model,
            optimization=optimization,
            starts_from=starts_from or tuple(starting_points or {}),
        )
        order = TrialOrder(
            trial="trial",
            family="trainables.rgb_lidar",
            config=check(config).model_dump(mode="json"),
            metric=tasks.names(task_for(config))[0],
            evaluations=tuple(SAMPLES * (number + 1) for number in range(len(model.stages))),
            data_root=str(root),
            directory=str(tmp_path_factory.mktemp("run")),
            starting_points=starting_points or {},
        )
        session = Session(order, world, DataCache())
        reports: list[Report] = []
        weights: list[Weights] = []
        while not (reports and reports[-1].done):
            reports.append(session.advance(reports[-1].samples if reports else 0))
            found = checkpoint.fp32_weights(Path(str(reports[-1].checkpoint)))
            weights.append({name: weight.detach().clone() for name, weight in found.items()})
        session.close()
        return reports, weights

    return run


@pytest.fixture(scope="module")
def plain(train: Train) -> Trained:
    """A chain of all stages that fine-tunes everything."""
    return train({"weight_decay": DECAY})


def moved(before: Weights, after: Weights) -> set[str]:
    """Names the parts of which a weight changed, those of the classifier one by one."""
    names = [name for name in after if not torch.equal(before[name], after[name])]
    return {".".join(name.split(".")[: 2 if name.startswith("classifier") else 1]) for name in names}


def test_a_stage_moves_its_parts_and_leaves_all_others_bit_for_bit(plain: Trained) -> None:
    cilp, classifier, projected, tuned = plain[1]
    assert moved(cilp, classifier) == {"classifier.maps", "classifier.neck", "classifier.output"}
    assert moved(classifier, projected) == {"projector"}
    assert moved(projected, tuned) == {"rgb", "projector", "classifier.output"}


@pytest.mark.parametrize(
    ("frozen", "target", "expected"),
    [
        ("nothing", "maps", {"rgb", "projector", "classifier.neck", "classifier.output"}),
        ("rgb", "penultimate", {"projector", "classifier.output"}),
        ("rgb_and_head", "maps", {"projector"}),
    ],
)
def test_fine_tuning_leaves_alone_what_is_frozen(
    train: Train, chain_knobs: ChainKnobs, frozen: str, target: str, expected: set[str]
) -> None:
    projector = chain_knobs.projector.model_copy(update={"target": target})
    knobs = {"projector": projector, "finetune_frozen": frozen, "stages": NAMES[2:]}
    _, (projected, tuned) = train({"weight_decay": DECAY}, {}, starts_from=("somewhere",), **knobs)
    assert moved(projected, tuned) == expected


@pytest.mark.parametrize("zero_stage", [0, 3])
def test_the_chain_is_the_same_under_other_zero_stages_and_micro_batches(
    train: Train, plain: Trained, zero_stage: int
) -> None:
    other, _ = train({"weight_decay": DECAY, "zero_stage": zero_stage, "micro_batch_size": 8})
    for ours, theirs in zip(plain[0], other, strict=True):
        assert theirs.metrics == pytest.approx(ours.metrics, rel=2e-3, abs=1e-4)


def test_a_learnable_temperature_learns_in_its_stage_alone(plain: Trained) -> None:
    cilp, *_, tuned = plain[1]
    assert float(cilp["temperature.log_scale"]) != pytest.approx(-math.log(0.07), abs=1e-4)
    assert torch.equal(cilp["temperature.log_scale"], tuned["temperature.log_scale"])


def test_the_error_of_the_projection_is_told_for_both_splits(plain: Trained) -> None:
    """One of the published errors was that of training scenes, under the name of the other."""
    reports, _ = plain
    for report in reports:
        assert report.metrics["projection_error"] != report.metrics["train_projection_error"]
    assert reports[2].metrics["projection_error"] < reports[1].metrics["projection_error"]


def test_the_curve_says_what_was_measured_before_fine_tuning(plain: Trained) -> None:
    reports, _ = plain
    notes = [point for report in reports for _, point in report.curve if "after_projector/accuracy" in point]
    assert [note["after_projector/cross_entropy"] for note in notes] == [reports[2].metrics["cross_entropy"]]
    assert reports[3].metrics["cross_entropy"] != reports[2].metrics["cross_entropy"]


def test_what_images_told_before_fine_tuning_stays_with_the_trial_and_is_told_on_test(
    plain: Trained, root: Path
) -> None:
    reports, weights = plain
    assert [report.stages for report in reports[:3]] == [{}] * 3
    assert reports[3].stages == {"projector": reports[2].metrics}
    assert reports[3].measured["after_projector/projection_error"] == reports[2].metrics["projection_error"]
    folder = Path(str(reports[3].checkpoint))
    kept = dict(milestones.read(folder)["projector"])
    assert moved(kept, {name: weights[3][name] for name in kept}) == {"rgb", "projector", "classifier.output"}
    assert all(torch.equal(value, weights[2][name]) for name, value in kept.items())
    found = evaluate(folder, root)
    task = task_for(RGBLidar.model_validate(checkpoint.whole(folder)[0].config))
    data = task.open(root)
    for values, told in ((weights[2], found.test_stages["projector"]), (weights[3], found.test)):
        model = task.build(task.facts(data)).eval()
        model.load_state_dict(values)
        with torch.no_grad():
            batch = task.evaluation_batch(data, "test", np.arange(data.num_samples("test")))
            measured = tasks.metrics(task, model, batch)
            assert told == pytest.approx({name: measured[name] for name in told}, rel=1e-4)
            assert "projection_error" in told and "accuracy" in told


def test_each_stage_tells_its_loss(plain: Trained) -> None:
    losses = [
        {name for _, point in report.curve for name in point if name.startswith("loss/")} - {"loss/weighted"}
        for report in plain[0]
    ]
    assert losses == [
        {"loss/info_nce"},
        {"loss/lidar_cross_entropy"},
        {"loss/projection"},
        {"loss/cross_entropy"},
    ]


def test_a_chain_in_two_studies_goes_on_where_the_first_one_ended(
    train: Train, chain_knobs: ChainKnobs, tmp_path: Path
) -> None:
    _, (cilp,) = train(stages=("cilp",))
    file = tmp_path / "cilp.pt"
    torch.save({"weights": cilp}, file)
    _, (classifier, projected, _) = train(starting_points={"cilp": str(file)}, stages=NAMES[1:])
    assert "lidar.0.0.0.weight" in cilp and "lidar.0.0.0.weight" not in classifier
    embedder = [name for name in cilp if name.startswith("rgb.")]
    assert embedder
    assert all(torch.equal(projected[name], cilp[name]) for name in embedder)
