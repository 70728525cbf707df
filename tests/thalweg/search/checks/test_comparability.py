"""Knobs that move the measurement are named, and no others."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from families.knots.config import PRESETS, Knots
from families.knots.task import Error, Forgiving, KnotsTask, Rope
from thalweg.contract import Batch, Indices, Measure, Outputs, SplitName, State
from thalweg.search.checks.comparability import Stretch, judge_comparability
from thalweg.search.checks.examined import Examined
from thalweg.search.checks.judgement import Deadline, Judgement
from thalweg.study import Trial

Examine = Callable[..., Examined]
Patch = Callable[[str, Any], None]


def small(trial: Trial) -> Knots:
    """A space of a few knobs."""
    return PRESETS["tiny"].vary(
        width=trial.suggest_categorical("width", [8, 16]),
        noise=trial.suggest_float("noise", 0.0, 0.5),
        margin=trial.suggest_float("margin", 0.0, 0.5),
        scale=trial.suggest_float("scale", 0.5, 2.0),
    )


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Puts a method in the place of one of the task."""
    return lambda name, method: monkeypatch.setattr(KnotsTask, name, method)


def judged(examine: Examine) -> Judgement:
    return judge_comparability(examine(small), Deadline(600))


def test_a_fixed_protocol_passes(examine: Examine) -> None:
    found = judged(examine)
    assert (found.mark, found.told) == ("passed", "one model keeps its score whatever 4 parameters of 4 are")


class Counting(Error):
    """Beside the error, how often it is above a margin that is searched: never, for a model that always is far off."""

    metrics = (  # type: ignore[assignment]  # one more than Error
        *Error.metrics,
        replace(Error.metrics[0], name="far"),
    )

    def __init__(self, config: Knots) -> None:
        self._config = config

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Errors, and those beyond the margin."""
        far = (outputs["target"] - batch["target"]).abs() > self._config.margin
        return {**super().add(outputs, batch), "far": far.double().sum()}

    def summarize(self, state: State) -> dict[str, float]:
        """Means."""
        return {**super().summarize(state), "far": float(state["far"] / state["count"])}


@pytest.mark.slow
def test_a_knob_that_moves_another_metric_alone_is_a_warning(patch: Patch, examine: Examine) -> None:
    patch("measures", lambda task: (Counting(task.config),))
    found = judged(examine)
    assert not found.faults
    (warning,) = found.warnings
    assert warning.startswith("margin changes metrics beside the objective")


def forgiving(task: KnotsTask) -> tuple[Measure, ...]:
    return (Forgiving(task.config),)


def noisy_target(task: KnotsTask, data: Rope, split: SplitName, indices: Indices) -> Batch:
    batch = task._batch(data, split, indices)
    return batch | {"target": batch["target"] * (1 - task.config.noise)}


def fewer_samples(task: KnotsTask, data: Rope, split: SplitName, indices: Indices) -> Batch:
    return task._batch(data, split, indices if task.config.width == 8 else indices * 0)


def scaled_inputs(task: KnotsTask, data: Rope, split: SplitName, indices: Indices) -> Batch:
    batch = task._batch(data, split, indices)
    return batch | {"first": batch["first"] * task.config.scale}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "replacement", "knob"),
    [
        ("measures", forgiving, "margin"),
        ("evaluation_batch", noisy_target, "noise"),
        ("evaluation_batch", fewer_samples, "width"),
    ],
)
def test_a_knob_that_moves_the_measurement_is_named(
    method: str, replacement: Any, knob: str, patch: Patch, examine: Examine
) -> None:
    patch(method, replacement)
    found = judged(examine)
    assert found.numbers["moved_by"] == [knob]
    assert f"got {knob}: the same predictions have the mse" in found.faults[0]
    assert not found.warnings


def test_a_knob_that_moves_what_the_model_reads_is_a_warning(patch: Patch, examine: Examine) -> None:
    patch("evaluation_batch", scaled_inputs)
    found = judged(examine)
    assert not found.faults
    assert found.warnings[0].startswith("scale changes what the model is given to evaluate")


class Calls(Measure):
    """Mean recall of two classes, which a margin that is searched tells apart; under the name of the error."""

    metrics = Error.metrics

    def __init__(self, config: Knots) -> None:
        self._config = config

    def add(self, outputs: Outputs, batch: Batch) -> State:
        """Right calls and samples of each class."""
        label = (batch["target"][:, 0] > self._config.margin).long()
        right = torch.eye(2)[label] * (outputs["logits"].argmax(1) == label)[:, None]
        return {"right": right.double().sum(0), "count": torch.eye(2)[label].double().sum(0)}

    def summarize(self, state: State) -> dict[str, float]:
        """Mean."""
        return {"mse": float((state["right"] / state["count"]).mean())}


def logits(task: KnotsTask, model: nn.Module, batch: Batch) -> Outputs:
    """Those of a model that never trained: whatever it reads, one class is ahead."""
    value = model(batch)
    return {"logits": torch.cat([value, 2 * value + 30], 1)}


@pytest.mark.slow
def test_a_knob_that_moves_calls_is_named_though_all_samples_are_called_the_same(
    patch: Patch, examine: Examine
) -> None:
    """The mean recall of one call for all is 1/2, whatever the labels are."""
    patch("measures", lambda task: (Calls(task.config),))
    patch("predict", logits)
    assert judged(examine).numbers["moved_by"] == ["margin"]


@pytest.mark.slow
def test_a_knob_that_changes_which_samples_are_evaluated_is_named(
    patch: Patch, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(task: KnotsTask, root: object) -> Rope:
        rope = Rope()
        count = int(10 * task.config.scale)
        monkeypatch.setattr(rope, "num_samples", lambda split: count if split == "val" else 8)
        return rope

    patch("open", opened)
    patch("data_key", lambda task: f"rope-{task.config.scale}")
    found = judged(examine)
    assert found.numbers["moved_by"] == ["scale"]
    assert "got scale: val holds 12 and 5 samples" in found.faults[0]


@pytest.mark.slow
def test_an_objective_that_is_not_finite_without_training_is_told(patch: Patch, examine: Examine) -> None:
    patch("predict", lambda task, model, batch: {"target": model(batch) * float("nan")})
    (warning,) = judged(examine).warnings
    assert warning.startswith("mse is not finite for models with random weights of ")


def test_a_stretch_spreads_samples_as_far_as_classes_lie_apart_and_keeps_what_is_constant() -> None:
    values = torch.tensor([[0.1, 2.0, -1e9], [0.2, 2.2, -1e9], [0.1, 2.0, -1e9]])
    given = {"logits": values, "calls": torch.tensor([1, 2, 3])}
    stretched = Stretch([given])(given)
    found = stretched["logits"]
    assert torch.equal(stretched["calls"], given["calls"])
    assert torch.equal(found[:, 2], values[:, 2])
    assert torch.equal(found[0], found[2])
    free, before = found[:, :2], values[:, :2]
    torch.testing.assert_close(free.mean(0), before.mean().expand(2), rtol=1e-4, atol=1e-4)
    spread = (free - free.mean(0)).square().mean().sqrt()
    torch.testing.assert_close(spread, (before - before.mean()).square().mean().sqrt(), rtol=1e-4, atol=1e-4)
    assert Stretch(())(given) is not given
    assert torch.equal(Stretch(())(given)["logits"], values)
