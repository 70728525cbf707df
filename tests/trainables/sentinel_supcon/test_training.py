"""Training by the platform's own loop: what is frozen, micro-batches, and what is learnt."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.thalweg.training.conftest import STEP, step_gradient
from thalweg.datasets.making import make_world
from thalweg.discovery import load_family
from thalweg.training.evaluation import evaluate_split
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon
from trainables.sentinel_supcon.model.scene_model import SceneModel

BATCH = 6


@pytest.fixture(scope="module")
def world() -> ProcessGroup:
    """This process alone."""
    return join()


def configured(**changes: Any) -> SentinelSupCon:
    model = {"width": 0.03, "embedding_dim": 8, **changes.pop("model", {})}
    optimization = {**STEP, "batch_size": BATCH, **changes.pop("optimization", {})}
    return PRESETS["tiny"].vary(
        dataset="facilities", model=model, data={"size": 16}, optimization=optimization, **changes
    )


def started(config: SentinelSupCon, root: Path, folder: Path, world: ProcessGroup, steps: int) -> Session:
    order = TrialOrder(
        trial="trial",
        family="trainables.sentinel_supcon",
        config=config.model_dump(mode="json"),
        metric="macro_recall",
        evaluations=tuple(sorted({BATCH, steps * BATCH})),
        data_root=str(root),
        directory=str(folder),
        checkpoints=False,
    )
    return Session(order, world, DataCache())


def weights_of(session: Session) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in session._module.model.state_dict().items()}


@pytest.mark.slow
def test_frozen_encoders_stay_as_pretraining_left_them_statistics_included(
    root: Path, world: ProcessGroup, tmp_path: Path
) -> None:
    linear = {"mode": "linear", "sup_delta": 0.0}
    config = configured(
        pretraining={"share": 0.5, "views": True}, tuning=linear, model={"backbone": "shared"}
    )
    session = started(config, root, tmp_path, world, steps=2)
    begun = weights_of(session)
    report = session.advance()
    pretrained = weights_of(session)
    session.advance(report.samples)
    tuned = weights_of(session)
    session.close()
    heads = {"head.weight", "head.bias"}
    changed = {name for name in begun if not torch.equal(begun[name], pretrained[name])}
    assert {name.partition(".")[0] for name in changed} == {"stem_s1", "stem_s2", "trunk"}
    assert any(name.endswith("running_mean") for name in changed)
    assert {name for name in pretrained if not torch.equal(pretrained[name], tuned[name])} == heads


@pytest.mark.slow
def test_a_trial_starts_from_published_weights_and_leaves_frozen_ones_alone(
    root: Path, world: ProcessGroup, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    model = {"backbone": "shared", "pretrained": "published.pth"}
    config = configured(model=model, tuning={"mode": "linear", "sup_delta": 0.0})
    theirs = SceneModel(config).state_dict()
    published = {
        _published_name(name): value for name, value in theirs.items() if not name.startswith("head")
    }
    (root / "weights").mkdir(exist_ok=True)
    torch.save({"state_dict": published}, root / "weights" / "published.pth")
    session = started(config, root, tmp_path, world, steps=1)
    begun = weights_of(session)
    report = session.advance()
    tuned = weights_of(session)
    session.close()
    heads = {"head.weight", "head.bias"}
    assert {name for name in begun if not torch.equal(begun[name], theirs[name])} == heads
    assert {name for name in begun if not torch.equal(begun[name], tuned[name])} == heads
    assert len(report.provenance["initial_weights_sha256"]) == 64


def _published_name(name: str) -> str:
    """Returns what METER-ML's encoders call a weight of a shared one."""
    for number in range(4):
        name = name.replace(f"trunk.convolutions.{number}.", f"encoder.blocks.{number + 1}.")
    for ours, theirs in (("1", "5.1"), ("2", "5.2"), ("4", "6.0"), ("5", "6.1"), ("7", "7.0")):
        name = name.replace(f"trunk.dense.{ours}.", f"encoder.blocks.{theirs}.")
    return re.sub(r"^stem_s(\d)\.", r"sentinel\1_block.", name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["s1s2", "s1s2_fused"])
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    scenario: str, root: Path, world: ProcessGroup, tmp_path: Path
) -> None:
    found = []
    for micro in (None, 2):
        config = configured(
            model={"backbone": "swin_t", "scenario": scenario}, optimization={"micro_batch_size": micro}
        )
        session = started(config, root, tmp_path / str(micro), world, steps=1)
        found.append(step_gradient(session)[0])
        session.close()
    whole, cut = found
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert largest > 0
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-3, atol=1e-5 * largest)


@pytest.mark.slow
def test_fused_sensors_learn_more_than_each_tells_alone(world: ProcessGroup, tmp_path: Path) -> None:
    family = load_family("sentinel_supcon")
    root = tmp_path / "data"
    make_world(family, root, "tiny")
    samples = 2000
    order = TrialOrder(
        trial="trial",
        family=family.package,
        config=PRESETS["tiny"].model_dump(mode="json"),
        metric="macro_recall",
        evaluations=(samples,),
        data_root=str(root),
        directory=str(tmp_path / "run"),
        checkpoints=False,
    )
    session = Session(order, world, DataCache())
    found = session.advance().metrics
    data = session.task.open(root)
    baselines = {
        name: evaluate_split(
            session.task, data, baseline, world, split="val", batch_size=64, is_baseline=True
        )
        for name, baseline in session.task.baselines(data).items()
    }
    session.close()
    for name in ("majority", "band_statistics_s1", "band_statistics_s2"):
        assert found["macro_recall"] > baselines[name]["macro_recall"], name
        assert found["cross_entropy"] < baselines[name]["cross_entropy"], name
