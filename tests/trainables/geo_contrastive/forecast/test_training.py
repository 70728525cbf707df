"""Trials with a head, on DeepSpeed: the frozen stays, the interrupted goes on, the trained is taken."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.trainables.geo_contrastive.conftest import Orders
from thalweg.errors import ConfigError
from thalweg.training.checkpoints import checkpoint
from thalweg.training.engine import engine
from thalweg.training.messages import Report
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.task import task_for

pytestmark = pytest.mark.slow

BATCH = 8
TRAINED = (4 * BATCH, 6 * BATCH, 8 * BATCH)
"""The stage of the head begins at the first evaluation; the second lies in its middle."""


def _config(precision: str = "fp32", **changes: Any) -> GeoContrastive:
    config = PRESETS["tiny_forecast"].vary(
        optimization={"batch_size": BATCH, "precision": precision},
        encoder={"latent_dim": 8, "width": 4},
        objective={"kind": "autoencoder"},
        downstream={"share": 0.5, "hidden": 8},
    )
    return config.vary(**changes)


@pytest.fixture
def order(order_for: Orders) -> Orders:
    """Builds an order for a configuration."""
    return partial(order_for, metric="forecast_rrmse", evaluations=TRAINED)


def _state(session: Session) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in engine.full_weights(session._engine).items()}


def _rest(session: Session, reached: int) -> Report:
    report = session.advance(reached)
    while not report.done:
        report = session.advance(report.samples)
    session.close()
    return report


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_everything_but_the_head_stays_bit_for_bit(
    precision: str, order: Orders, world: ProcessGroup
) -> None:
    session = Session(order(_config(precision)), world, DataCache())
    session.advance()
    session.advance(TRAINED[0])
    before = _state(session)
    session.advance(TRAINED[1])
    after = _state(session)
    session.close()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    fitted = ("head.memory", "head.anomalies.", "head.propagator.", "head.inside.")  # before the first step
    assert {n for n in before if n.startswith("head.") and not n.startswith(fitted)} == changed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_trial_goes_on_in_the_middle_of_the_stage_bit_for_bit(
    precision: str, order: Orders, world: ProcessGroup
) -> None:
    config = _config(precision)
    whole = _rest(Session(order(config, "whole"), world, DataCache()), 0)
    cut = Session(order(config, "cut"), world, DataCache())
    cut.advance()
    cut.advance(TRAINED[0])
    cut.close()
    rest = _rest(Session(order(config, "cut"), world, DataCache()), TRAINED[1])
    assert rest.metrics == whole.metrics
    assert rest.curve == whole.curve


def test_a_head_alone_stands_on_the_representation_of_a_study(
    order: Orders, world: ProcessGroup, tmp_path: Path
) -> None:
    theirs = _config(downstream={"kind": "none"})
    report = _rest(Session(order(theirs, "first", metric="rrmse"), world, DataCache()), 0)
    assert report.checkpoint is not None
    _, weights = checkpoint.whole(Path(report.checkpoint))
    torch.save({"weights": weights}, tmp_path / "weights.pt")
    ours = PRESETS["tiny_forecast"].vary(
        starts_from=("first",),
        optimization={"batch_size": BATCH},
        downstream={"share": 1.0, "hidden": 8},
    )
    inherited = task_for(ours).inherit({"first": theirs})
    assert (inherited.encoder, inherited.objective) == (theirs.encoder, theirs.objective)
    task = task_for(inherited)
    assert [stage.name for stage in task.stages()] == ["forecast"]
    starts = {"first": str(tmp_path / "weights.pt")}
    session = Session(order(inherited, "second", starting_points=starts), world, DataCache())
    session.advance()
    session.advance(TRAINED[0])
    found = _state(session)
    session.close()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    assert set(found) - set(weights) == {
        name for name in found if name.startswith(("head.", "standardization."))
    }


def test_a_head_alone_without_a_study_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"share 1 must name a study .* set downstream\.share to 0\.25"):
        _config(downstream={"share": 1.0})
