"""What a step would take, reckoned from shapes, beside counts by hand and what a true step kept."""

import numpy as np
import pytest
import torch
from torch import Tensor

from families.knots.config import PRESETS, Knots
from families.knots.task import KnotsTask, Parts, Rope
from thalweg.search.checks.costs.reckoning import Activations, Shadow, UnreckonableError, Work
from thalweg.search.checks.steps_of_stage import StageSteps
from thalweg.training.schedule import Plan

SIZE = 5


@pytest.fixture(params=[{}, {"depth": 2}, {"fusion": "attention", "heads": 2}, {"width": 16}])
def config(request: pytest.FixtureRequest) -> Knots:
    """Networks of some forms."""
    return PRESETS["tiny"].vary(**request.param)


class Steps:
    """A task with a batch, and both kinds of steps on it."""

    def __init__(self, config: Knots) -> None:
        self.task = KnotsTask(config)
        data = Rope()
        self.model = self.task.build(None)
        indices = np.arange(SIZE)
        self.batch = self.task.training_batch(data, indices, indices.astype(np.uint64))
        self.plan = Plan.lay(self.task.stages(), 1024)

    def reckoned(self) -> Work:
        """Without numbers."""
        (stage,) = self.plan.stages
        return Shadow(self.model).step(stage, self.batch, self.plan.progress(0))

    def num_kept(self) -> int:
        """Bytes that a true step kept."""
        steps = StageSteps(self.plan.stages[0], self.plan, [0])
        steps.begin(self.model, Rope())
        activations = Activations(self.model.parameters())
        with activations.hooks():
            steps.step(self.model, self.batch, 0)
        return activations.num_bytes


def by_hand(config: Knots) -> int:
    """Operations of products in a step: each layer forward, its weights backward, and its inputs if they train."""
    width, tokens = config.width, 2
    encoders = 2 * SIZE * (4 + 3) * width
    inner = 2 * SIZE * tokens * width * width * (config.depth > 1)
    attended = 0
    if config.fusion == "attention":
        inner += 2 * SIZE * tokens * width * 4 * width  # query, key, value and output
        attended = 2 * (2 * SIZE * tokens * tokens * width)  # scores, and what they weigh
    head, backbone = 2 * SIZE * width, 2 * SIZE * 4 * 4
    backward = 2 * (2 * encoders + 3 * inner) + 3 * head + backbone
    return backward + 7 * attended


def test_operations_are_those_of_a_count_by_hand(config: Knots) -> None:
    assert Steps(config).reckoned().num_operations == by_hand(config)


def test_bytes_are_those_that_a_true_step_keeps(config: Knots) -> None:
    steps = Steps(config)
    assert steps.reckoned().num_bytes == steps.num_kept() > 0


def test_reckoning_leaves_the_model_and_its_numbers_alone() -> None:
    steps = Steps(PRESETS["tiny"])
    before = {name: value.clone() for name, value in steps.model.state_dict().items()}
    steps.model.eval()
    steps.reckoned()
    assert not steps.model.training and all(each.requires_grad for each in steps.model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in steps.model.state_dict().items())


def test_what_asks_for_numbers_cannot_be_reckoned(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(PRESETS["tiny"])
    true = Parts.parts

    def asking(loss: Parts, model: torch.nn.Module, *given: object) -> dict[str, Tensor]:
        found = dict(true(loss, model, *given))  # type: ignore[arg-type]
        return found if float(found["error"]) > 0 else {}

    monkeypatch.setattr(Parts, "parts", asking)
    with pytest.raises(UnreckonableError, match="a step must be reckoned from shapes, got "):
        steps.reckoned()


def test_activations_are_what_the_backward_pass_needs() -> None:
    weight, inputs = torch.ones(3, 5, requires_grad=True), torch.ones(7, 3)
    activations = Activations()
    with activations.hooks():
        inputs.matmul(weight).exp().sum()
    assert activations.num_bytes == 4 * (7 * 3 + 7 * 5)  # the inputs, and what exp gives
    apart = Activations([inputs])
    with apart.hooks():
        inputs.matmul(weight).exp().sum()
    assert apart.num_bytes == 4 * 7 * 5
