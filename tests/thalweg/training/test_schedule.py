"""Learning rate and stages as functions of the samples seen."""

import math

import pytest
import torch

from families.toy.config import Toy
from families.toy.task import SquaredErrors
from thalweg.config import Optimization, parse
from thalweg.errors import ConfigError
from thalweg.stage_contract import Stage
from thalweg.training.schedule import Plan, lr_factor

LOSS = SquaredErrors(Toy())


def test_the_learning_rate_rises_linearly_and_falls_as_a_half_cosine() -> None:
    knobs = Optimization(warmup_ratio=0.2, min_lr_ratio=0.1)
    assert lr_factor(knobs, 0.05) == pytest.approx(0.25)
    assert lr_factor(knobs, 0.2) == pytest.approx(1.0)
    for ratio in (0.3, 0.55, 0.9):
        angle = math.pi * (ratio - 0.2) / 0.8
        assert lr_factor(knobs, ratio) == pytest.approx(0.1 + 0.9 * (1 + math.cos(angle)) / 2)
    assert lr_factor(knobs, 1.0) == pytest.approx(0.1)


def test_a_constant_schedule_stays_at_its_peak_after_the_warm_up() -> None:
    knobs = Optimization(warmup_ratio=0.5, lr_schedule="constant")
    assert [lr_factor(knobs, ratio) for ratio in (0.25, 0.5, 0.75, 1.0)] == [0.5, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(("warmup", "end"), [(0.3, 4e-6), (0.5, 0.1)])
def test_one_cycle_is_that_of_torch(warmup: float, end: float) -> None:
    num_steps, peak = 200, 0.5
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, peak, total_steps=num_steps, pct_start=warmup, final_div_factor=1 / (25 * end)
    )
    knobs = Optimization(lr=peak, lr_schedule="onecycle", warmup_ratio=warmup, min_lr_ratio=end)
    rise = round(warmup * num_steps)
    for step in range(num_steps):
        # A step of ours ends at its ratio; the first one of torch's begins at 0, so that only the rise is shorter.
        ratio = (step + 1) / num_steps if step >= rise else warmup * step / (rise - 1)
        assert peak * lr_factor(knobs, ratio) == pytest.approx(torchs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        torchs.step() if step < num_steps - 1 else None
    assert lr_factor(knobs, 0.0) == pytest.approx(1 / 25)
    assert lr_factor(knobs, 1.0) == pytest.approx(end)


def test_a_constant_schedule_refuses_an_end_that_it_never_reaches() -> None:
    with pytest.raises(
        ConfigError, match=r"min_lr_ratio must be 0 unless lr_schedule falls, .* got 0\.1 with 'constant'"
    ):
        parse(Toy, {"optimization": {"lr_schedule": "constant", "min_lr_ratio": 0.1}})


def test_no_warm_up_begins_at_the_peak() -> None:
    assert lr_factor(Optimization(warmup_ratio=0.0), 1e-9) == pytest.approx(1.0)


def test_stages_are_laid_over_the_budget() -> None:
    plan = Plan.lay((Stage(name="a", share=0.25, loss=LOSS), Stage(name="b", share=0.75, loss=LOSS)), 1000)
    assert plan.ends == (250, 1000)
    assert plan.progress(0).stage == "a"
    assert plan.progress(249).stage_ratio == pytest.approx(249 / 250)
    assert (plan.progress(250).stage, plan.progress(250).stage_ratio) == ("b", 0.0)
    assert plan.progress(625).stage_ratio == pytest.approx(0.5)


@pytest.mark.parametrize("shares", [(0.5, 0.4), (1.5, -0.5)])
def test_shares_must_be_positive_and_add_up_to_one(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="add up to 1"):
        Plan.lay(tuple(Stage(share=share, loss=LOSS) for share in shares), 10)
