"""Losses of the stages: which views, scenes and weights they read, however a batch is cut."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import tasks
from thalweg.contract import Batch
from thalweg.stage_contract import JointLoss, Loss, Progress, Stage
from thalweg.training.engine.engine import parameter_groups, train_mode
from trainables.sentinel_supcon.config import PRESETS, SentinelSupCon
from trainables.sentinel_supcon.model.scene_model import SceneModel
from trainables.sentinel_supcon.training.losses import CrossEntropy, Pretraining, SupConCrossEntropy
from trainables.sentinel_supcon.training.stages import stages

COUNT = 6
LABELS = torch.tensor([0, 1, -1, 0, 2, 5])
NOW = Progress(samples=0, total_samples=100, stage="tuning", stage_ratio=0.0)


def configured(**changes: Any) -> SentinelSupCon:
    """A network without batch norms, whose rows know nothing of one another."""
    model = {"backbone": "swin_t", "width": 0.05, "embedding_dim": 8, **changes.pop("model", {})}
    data = {"size": 16, **changes.pop("data", {})}
    return PRESETS["tiny"].vary(model=model, data=data, **changes)


def made(config: SentinelSupCon) -> SceneModel:
    torch.manual_seed(0)
    return SceneModel(config)


def drawn(config: SentinelSupCon, num_views: int = 2) -> Batch:
    generator = torch.Generator().manual_seed(1)
    side = config.data.size
    images = {
        sensor: torch.randn(COUNT, num_views, bands, side, side, generator=generator)
        for sensor, bands in (("s1", 2), ("s2", 4))
    }
    multi = nn.functional.one_hot(LABELS.clamp(min=0), 7) * (LABELS >= 0)[:, None]
    multi[0, 4] = 1
    return {**images, "label": LABELS, "multi": multi.float()}


def part_of(batch: Batch, rows: slice) -> Batch:
    return {name: values[rows] for name, values in batch.items()}


def without_ignored(batch: Batch) -> Batch:
    """The batch in which images of the scene whose class is ignored are others."""
    other = {name: values.clone() for name, values in batch.items()}
    for sensor in ("s1", "s2"):
        other[sensor][2] = 9.0
    return other


def joined(loss: JointLoss, model: SceneModel, *batches: Batch) -> tuple[dict[str, Tensor], dict[str, float]]:
    found = loss.parts(tasks.cat(*(loss.embed(model, batch, NOW) for batch in batches)), NOW)
    return dict(found.sums), {name: float(count) for name, count in found.counts.items()}


VARIANTS: list[dict[str, Any]] = [
    {},
    {"model": {"scenario": "s1s2"}},
    {"model": {"scenario": "s2"}},
    {"tuning": {"contrast": "one"}},
    {"data": {"target": "multi"}},
]


class TestTuning:
    @pytest.mark.parametrize("changes", VARIANTS)
    def test_a_batch_in_micro_batches_has_the_same_loss(self, changes: dict[str, Any]) -> None:
        config = configured(**changes)
        model, batch, loss = made(config), drawn(config), SupConCrossEntropy(config)
        whole = joined(loss, model, batch)
        cut = joined(loss, model, part_of(batch, slice(0, 1)), part_of(batch, slice(1, None)))
        assert whole[1] == cut[1]
        assert {name: float(each.detach()) for name, each in whole[0].items()} == pytest.approx(
            {name: float(each.detach()) for name, each in cut[0].items()}, rel=1e-5
        )

    @pytest.mark.parametrize("changes", VARIANTS)
    def test_a_scene_of_an_ignored_class_changes_neither_loss_nor_gradient(
        self, changes: dict[str, Any]
    ) -> None:
        config = configured(**changes)
        found = []
        for batch in (drawn(config), without_ignored(drawn(config))):
            model = made(config)
            sums, counts = joined(SupConCrossEntropy(config), model, batch)
            torch.stack(list(sums.values())).sum().backward()  # type: ignore[no-untyped-call]
            gradients = {name: weight.grad for name, weight in model.named_parameters()}
            found.append((sums, counts, gradients))
        (sums, counts, gradients), (others, other_counts, other_gradients) = found
        assert counts == other_counts
        for name, each in sums.items():
            torch.testing.assert_close(each, others[name], rtol=1e-5, atol=1e-6)
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, other_gradients[name], rtol=1e-4, atol=1e-6)

    def test_rows_are_two_samples_of_two_views_for_each_scene(self) -> None:
        """(B, 2, D) of both sensors become (2 B, 2, D), of which every view is an anchor."""
        config = configured()
        _, counts = joined(SupConCrossEntropy(config), made(config), drawn(config))
        assert counts == {"cross_entropy": 5.0, "supcon": 5.0 * 2 * 2}
        one = configured(tuning={"contrast": "one"})
        assert joined(SupConCrossEntropy(one), made(one), drawn(one))[1]["supcon"] == 5.0 * 2

    def test_every_image_passes_once_and_the_original_serves_the_cross_entropy(self) -> None:
        config = configured()
        model, batch = made(config), drawn(config)
        passed: list[Tensor] = []
        model.get_submodule("s1").register_forward_pre_hook(lambda _, given: passed.append(given[0]))
        rows = SupConCrossEntropy(config).embed(model, batch, NOW)
        assert [len(each) for each in passed] == [2 * COUNT]
        original = {"s1": batch["s1"][:, 1:], "s2": batch["s2"][:, 1:], "label": batch["label"]}
        expected = nn.functional.cross_entropy(
            model(original)["logits"], LABELS, ignore_index=-1, reduction="none"
        )
        torch.testing.assert_close(rows.embeddings["cross_entropy"], expected, rtol=1e-5, atol=1e-6)

    def test_two_heads_have_losses_of_their_own(self) -> None:
        config = configured(model={"scenario": "s1s2"})
        names = {"cross_entropy_s1", "cross_entropy_s2", "supcon_s1", "supcon_s2"}
        loss = SupConCrossEntropy(config)
        sums, counts = joined(loss, made(config), drawn(config))
        assert set(sums) == set(counts) == set(loss.weights(NOW)) == names
        alone = configured(model={"scenario": "s1"})
        model = made(config)
        single = made(alone)
        single.load_state_dict({name: value for name, value in model.state_dict().items() if "s1" in name})
        expected, _ = joined(SupConCrossEntropy(alone), single, drawn(alone))
        found, _ = joined(loss, model, drawn(config))
        torch.testing.assert_close(found["supcon_s1"], expected["supcon"])
        torch.testing.assert_close(found["cross_entropy_s1"], expected["cross_entropy"])

    def test_the_weight_of_supcon_is_the_knob_whatever_the_temperature(self) -> None:
        for temperature in (0.07, 0.5):
            config = configured(tuning={"sup_delta": 0.3, "temperature": temperature})
            weights = SupConCrossEntropy(config).weights(NOW)
            assert weights == {"cross_entropy": 1.0, "supcon": 0.3}

    def test_without_supcon_the_cross_entropy_sees_the_augmented_view(self) -> None:
        config = configured(tuning={"sup_delta": 0.0})
        model, batch = made(config), drawn(config)
        loss = stages(config)[0].loss
        assert isinstance(loss, CrossEntropy)
        found = loss.parts(model, batch, NOW)
        logits = model(batch)["logits"]  # of the first view
        expected = nn.functional.cross_entropy(logits, LABELS, ignore_index=-1, reduction="sum")
        torch.testing.assert_close(found["cross_entropy"], expected)
        assert loss.counts(batch, NOW) == {"cross_entropy": 5.0}
        other = batch | {"s1": torch.cat((batch["s1"][:, :1], batch["s1"][:, :1]), 1)}
        torch.testing.assert_close(loss.parts(model, other, NOW)["cross_entropy"], expected)

    def test_a_batch_without_counting_scenes_is_no_nan(self) -> None:
        config = configured()
        batch = drawn(config) | {"label": torch.full((COUNT,), -1), "multi": torch.zeros(COUNT, 7)}
        for each in (config, configured(tuning={"sup_delta": 0.0}), configured(data={"target": "multi"})):
            stage = stages(each)[0]
            model = made(each)
            if isinstance(stage.loss, JointLoss):
                sums, counts = joined(stage.loss, model, batch)
            else:
                assert isinstance(stage.loss, Loss)
                sums, counts = dict(stage.loss.parts(model, batch, NOW)), dict(stage.loss.counts(batch, NOW))
            assert {float(each.detach()) for each in sums.values()} == {0.0} == set(counts.values())

    def test_several_classes_are_each_there_or_not(self) -> None:
        config = configured(data={"target": "multi"}, tuning={"sup_delta": 0.0})
        model, batch = made(config), drawn(config)
        loss = CrossEntropy(config)
        logits = model(batch)["logits"].double()
        valid = [number for number, name in enumerate(config.data.classes) if name != "Negative"]
        expected = 0.0
        for scene in (0, 1, 3, 4, 5):
            for number in valid:
                chance = 1 / (1 + math.exp(-float(logits[scene, number].detach())))
                there = bool(batch["multi"][scene, number])
                expected -= math.log(chance if there else 1 - chance) / len(valid)
        assert float(loss.parts(model, batch, NOW)["cross_entropy"].detach()) == pytest.approx(
            expected, rel=1e-5
        )


class TestPretraining:
    @pytest.mark.parametrize("views", [False, True])
    @pytest.mark.parametrize("kind", ["nt_xent", "pairwise"])
    def test_a_batch_in_micro_batches_has_the_same_loss(self, kind: str, views: bool) -> None:
        config = configured(pretraining={"share": 0.5, "loss": kind, "views": views, "negatives": True})
        model, batch, loss = made(config), drawn(config), Pretraining(config)
        sums, counts = joined(loss, model, batch)
        others, other_counts = joined(
            loss, model, part_of(batch, slice(0, 2)), part_of(batch, slice(2, None))
        )
        assert counts == other_counts
        torch.testing.assert_close(sums["contrastive"], others["contrastive"], rtol=1e-5, atol=1e-5)
        blocks = 4 if views and kind == "nt_xent" else 2
        assert counts["contrastive"] == 5 * blocks

    def test_without_views_it_compares_the_sensors_alone(self) -> None:
        config = configured(pretraining={"share": 0.5})
        model, batch = made(config), drawn(config)
        rows = Pretraining(config).embed(model, batch, NOW)
        assert rows.embeddings["contrastive"].shape == (COUNT, 2, 8)
        assert bool(rows.companions["anchors"].all())

    def test_prototypes_add_their_transport(self) -> None:
        config = configured(
            model={"backbone": "prototypes", "num_prototypes": 5},
            pretraining={"share": 0.5, "ot_weight": 0.3, "views": True},
            optimization={"micro_batch_size": None},
        )
        model, batch, loss = made(config), drawn(config), Pretraining(config)
        sums, counts = joined(loss, model, batch)
        assert counts["transport"] == COUNT
        assert loss.weights(NOW) == {"contrastive": 1.0, "transport": 0.3}
        torch.stack(list(sums.values())).sum().backward()  # type: ignore[no-untyped-call]
        silent = {name for name, weight in model.named_parameters() if weight.grad is None}
        assert silent == {"head.weight", "head.bias"}


def trained(model: nn.Module, stage: Stage) -> set[str]:
    parameter_groups(model, stage, 1.0)
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


class TestStages:
    def test_pretraining_trains_encoders_then_tuning_everything(self) -> None:
        config = configured(
            pretraining={"share": 0.25}, model={"fusion": "gated"}, tuning={"head_lr_scale": 3.0}
        )
        first, second = stages(config)
        assert (first.name, second.name, first.share, second.share) == ("pretraining", "tuning", 0.25, 0.75)
        model = made(config)
        assert {name.partition(".")[0] for name in trained(model, first)} == {"s1", "s2"}
        assert trained(model, second) == {name for name, _ in model.named_parameters()}
        assert {group.prefix: group.lr_scale for group in second.groups} == {
            "s1.": 1.0,
            "s2.": 1.0,
            "head.": 3.0,
            "fusion.": 3.0,
        }
        assert first.teaches == ()

    def test_linear_tuning_of_dual_resnet50s_trains_2056_parameters(self) -> None:
        linear = {"mode": "linear", "sup_delta": 0.0}
        config = PRESETS["dfc2020"].vary(tuning=linear, starts_from=("pretrained",))
        with torch.device("meta"):
            model = SceneModel(config)
        (stage,) = stages(config)
        assert trained(model, stage) == {"head.weight", "head.bias"}
        assert sum(weight.numel() for weight in model.parameters() if weight.requires_grad) == 2056

    def test_linear_tuning_leaves_the_statistics_of_batch_norms_alone(self) -> None:
        config = PRESETS["tiny"].vary(
            tuning={"mode": "linear", "sup_delta": 0.0}, starts_from=("pretrained",), data={"size": 16}
        )
        (stage,) = stages(config)
        model, batch = made(config), drawn(config)
        parameter_groups(model, stage, 1.0)
        train_mode(model, stage)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert isinstance(stage.loss, Loss)
        stage.loss.parts(model, batch, NOW)["cross_entropy"].backward()  # type: ignore[no-untyped-call]
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert {name for name, weight in model.named_parameters() if weight.grad is not None} == {
            "head.weight",
            "head.bias",
        }

    @pytest.mark.parametrize("scenario", ["s1", "s1s2", "s1s2_fused"])
    def test_stages_fit_every_scenario(self, scenario: str) -> None:
        config = configured(model={"scenario": scenario}, pretraining={"share": 0.5, "views": True})
        model = made(config)
        for stage in stages(config):
            assert trained(model, stage)
