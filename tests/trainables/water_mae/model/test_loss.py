"""The form of the training loss: what is normalised, what is contrasted, and what is left out."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from tests import tasks
from thalweg.nn.losses import patch_normalised_mse
from thalweg.stage_contract import Progress
from trainables.water_mae.config import LossKnobs, MaskingKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import protocol
from trainables.water_mae.knobs import PUBLISHED_SET
from trainables.water_mae.model import loss
from trainables.water_mae.model.autoencoder import MaskedAutoencoder
from trainables.water_mae.model.batch import Batch
from trainables.water_mae.task import WaterMAETask

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
KEYS = np.array([5, 6, 7, 8], np.uint64)
FIRST_WITHOUT_RIVERS = np.array([0, 8, 10, 11])


def with_loss(config: WaterMAE, **knobs: Any) -> WaterMAETask:
    return WaterMAETask(config.model_copy(update={"loss": LossKnobs.model_validate(knobs)}))


def training_batch(task: WaterMAETask, data: WaterData) -> Batch:
    return task.training_batch(data, FIRST_WITHOUT_RIVERS, KEYS)


def build(task: WaterMAETask, data: WaterData) -> MaskedAutoencoder:
    torch.manual_seed(0)
    model = task.build(task.facts(data))
    assert isinstance(model, MaskedAutoencoder)
    return model


def gradient(task: WaterMAETask, model: MaskedAutoencoder, batch: Batch) -> Tensor:
    """Returns the gradient of the weighted loss as one vector."""
    parts, counts, weights = (
        tasks.losses(task, model, batch, NOW),
        tasks.counts_of(task, model, batch, NOW),
        tasks.weights(task, NOW),
    )
    total = torch.stack([weights[name] * parts[name] / counts[name] for name in parts]).sum()
    found = torch.autograd.grad(total, list(model.parameters()))
    return torch.cat([tensor.flatten() for tensor in found])


def slow_contrastive(summaries: dict[str, Tensor], present: dict[str, Tensor], temperature: float) -> float:
    total = 0.0
    for first, second in combinations(PUBLISHED_SET.names, 2):
        both = [index for index in range(len(KEYS)) if present[first][index] and present[second][index]]
        for one, other in ((first, second), (second, first)):
            for i in both:
                cosines = [
                    cosine_similarity(summaries[one][i], summaries[other][j], dim=0) / temperature
                    for j in both
                ]
                total -= 0.5 * float(torch.stack(cosines).log_softmax(0)[both.index(i)])
    return total


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_contrastive_loss_follows_the_slow_definition(
    config: WaterMAE, data: WaterData, temperature: float
) -> None:
    task = with_loss(config, contrastive_weight=0.1, contrastive_temperature=temperature)
    batch, model = training_batch(task, data), build(task, data).requires_grad_(False)
    present = {name: protocol.present(batch, PUBLISHED_SET.places[name]) for name in PUBLISHED_SET.names}
    assert present["river_flow"].tolist() == [0, 1, 1, 1]
    encoders: dict[str, Tensor] = {}
    model.fusion.register_forward_pre_hook(
        lambda _, inputs: encoders.update(zip(PUBLISHED_SET.names, inputs[0], strict=True))
    )
    found = tasks.losses(task, model, batch, NOW)["contrastive"]
    means = {name: tokens.mean(1) for name, tokens in encoders.items()}
    assert float(found) == pytest.approx(slow_contrastive(means, present, temperature), rel=1e-4)
    # Ten pairs of five modalities; four of them include rivers, which one window lacks.
    counts = tasks.joint_counts(task, tasks.embed(task, model, batch, NOW), NOW)
    assert counts == dict.fromkeys(PUBLISHED_SET.names, 4.0) | {
        "river_flow": 3.0,
        "contrastive": 6 * 4 + 4 * 3,
    }


def test_without_a_weight_nothing_is_contrasted(config: WaterMAE, data: WaterData) -> None:
    task, contrasting = WaterMAETask(config), with_loss(config, contrastive_weight=0.1)
    batch, model = training_batch(task, data), build(task, data).requires_grad_(False)
    for answer in (
        tasks.losses(task, model, batch, NOW),
        tasks.counts(task, batch, NOW),
        tasks.weights(task, NOW),
    ):
        assert tuple(answer) == PUBLISHED_SET.names
    assert [stage.is_joint for stage in task.stages()] == [False]
    assert [stage.is_joint for stage in contrasting.stages()] == [True]
    plain, more = tasks.losses(task, model, batch, NOW), tasks.losses(contrasting, model, batch, NOW)
    assert all(torch.equal(plain[name], more[name]) for name in PUBLISHED_SET.names)


def test_an_absent_modality_is_contrasted_with_nothing(config: WaterMAE, data: WaterData) -> None:
    task = with_loss(config, contrastive_weight=0.1)
    batch, model = training_batch(task, data), build(task, data).requires_grad_(False)
    nobody = batch | {"vector_present": torch.tensor([[1.0, 0.0]]).expand(4, 2)}
    embedded = tasks.embed(task, model, nobody, NOW)
    rows = embedded.embeddings
    assert embedded.companions["present"].all(0).tolist() == [True, True, True, True, False]
    rows["summary/river_flow"].requires_grad_()
    contrastive = tasks.joint_losses(task, embedded, NOW)["contrastive"]
    torch.autograd.backward(contrastive)
    assert rows["summary/river_flow"].grad is not None
    assert not rows["summary/river_flow"].grad.any()
    present = {name: protocol.present(nobody, PUBLISHED_SET.places[name]) for name in PUBLISHED_SET.names}
    means = {name: rows[f"summary/{name}"].detach() for name in PUBLISHED_SET.names}
    assert float(contrastive.detach()) == pytest.approx(slow_contrastive(means, present, 0.05), rel=1e-4)
    assert tasks.joint_counts(task, embedded, NOW)["contrastive"] == 6 * 4


def test_embeddings_of_parts_of_a_batch_join_to_the_loss_of_the_whole(
    config: WaterMAE, data: WaterData
) -> None:
    task = with_loss(config, contrastive_weight=0.1, norm_target=True)
    whole, model = training_batch(task, data), build(task, data).requires_grad_(False)
    parts = [{name: values[part] for name, values in whole.items()} for part in (slice(3), slice(3, 4))]
    rows = [tasks.embed(task, model, part, NOW) for part in parts]
    joined = tasks.joint_losses(task, tasks.cat(*rows), NOW)
    for name, part in tasks.losses(task, model, whole, NOW).items():
        assert float(joined[name]) == pytest.approx(float(part), rel=1e-4)
    apart = sum(float(tasks.losses(task, model, part, NOW)["contrastive"]) for part in parts)
    assert abs(apart - float(joined["contrastive"])) > 0.1  # negatives are those of the global batch


def test_normalised_targets_follow_their_definition(config: WaterMAE, data: WaterData) -> None:
    task = with_loss(config, norm_target=True)
    batch, model = training_batch(task, data), build(task, data).requires_grad_(False)
    predictions = model(batch)
    for name, part in tasks.losses(task, model, batch, NOW).items():
        rows = patch_normalised_mse(
            predictions[name], *protocol.hidden_values(batch, PUBLISHED_SET.places[name])
        )
        expected = sum(
            float(row)
            for row, here in zip(rows, protocol.present(batch, PUBLISHED_SET.places[name]), strict=True)
            if here
        )
        assert float(part) == pytest.approx(expected, rel=1e-5)


ALTERNATIVES: dict[str, Any] = {
    "norm_target": True,
    "contrastive_weight": 0.1,
    "contrastive_temperature": 0.2,
}
NEEDED = {"contrastive_temperature": {"contrastive_weight": 0.1}}


def test_every_knob_of_the_loss_is_tried_below() -> None:
    assert set(ALTERNATIVES) == set(LossKnobs.model_fields)


@pytest.mark.slow
@pytest.mark.parametrize("knob", sorted(ALTERNATIVES))
def test_every_knob_of_the_loss_changes_the_gradient_and_no_evaluation(
    config: WaterMAE, data: WaterData, knob: str
) -> None:
    needed = NEEDED.get(knob, {})
    task, other = with_loss(config, **needed), with_loss(config, **needed, **{knob: ALTERNATIVES[knob]})
    batch, model = training_batch(task, data), build(task, data)
    slopes = gradient(task, model, batch), gradient(other, model, batch)
    assert float((slopes[0] - slopes[1]).norm()) > 1e-6 * float(slopes[0].norm())
    window = task.evaluation_batch(data, "val", np.array([0, 3]))
    measured = [tasks.tensors(tasks.evaluate(each, model, window)) for each in (task, other)]
    assert all(torch.equal(measured[0][name], measured[1][name]) for name in measured[0])
    assert task.protocol() == other.protocol()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_embeddings_of_half_precision_models_are_fp32(
    config: WaterMAE, data: WaterData, dtype: torch.dtype
) -> None:
    task = with_loss(config, contrastive_weight=0.1, norm_target=True)
    batch, model = training_batch(task, data), build(task, data).requires_grad_(False)
    exact = tasks.losses(task, model, batch, NOW)
    rows = tasks.embed(task, model.to(dtype), batch, NOW)
    assert {values.dtype for values in rows.embeddings.values()} == {torch.float32}
    for name, part in tasks.joint_losses(task, rows, NOW).items():
        assert float(part) == pytest.approx(float(exact[name]), rel=0.05)


def test_targets_are_not_rounded_to_the_precision_of_the_model(config: WaterMAE, data: WaterData) -> None:
    task = WaterMAETask(config)
    batch, model = training_batch(task, data), build(task, data).half().requires_grad_(False)
    fine = batch | {
        "vectors": batch["vectors"] + 13.8
    }  # log of almost no flow, as far as half a unit of fp16
    predictions = model(fine)
    coarse = fine | {"vectors": fine["vectors"].half().float()}
    exact = loss.reconstruction(predictions, fine, PUBLISHED_SET.places, norm_target=False)["river_flow"]
    rounded = loss.reconstruction(predictions, coarse, PUBLISHED_SET.places, norm_target=False)["river_flow"]
    assert exact[0] == rounded[0] == 0  # absent
    assert (exact[1:] != rounded[1:]).all()


def test_training_decodes_a_share_of_what_is_hidden_and_evaluation_all(
    config: WaterMAE, data: WaterData
) -> None:
    masking = MaskingKnobs(image_mask_ratio=0.7, image_kept_mask_ratio=0.35, vector_kept_mask_ratio=0.2)
    task = WaterMAETask(config.model_copy(update={"masking": masking}))
    batch = training_batch(task, data)
    # Of 6 image patches 4 are hidden and 2 decoded, of 5 vector patches 2 and 1.
    assert batch["image_keep"].shape[-1] == 2 and batch["image_masked"].shape[-1] == 2
    assert batch["vector_keep"].shape[-1] == 3 and batch["vector_masked"].shape[-1] == 1
    for kind in ("image", "vector"):
        keep, masked = batch[f"{kind}_keep"], batch[f"{kind}_masked"]
        assert not (keep[..., :, None] == masked[..., None, :]).any()
    assert build(task, data)(batch)["precipitation"].shape[2] == 2
    ours = task.evaluation_batch(data, "val", np.array([0]))
    theirs = WaterMAETask(config).evaluation_batch(data, "val", np.array([0]))
    assert torch.equal(ours["image_masked"], theirs["image_masked"])
