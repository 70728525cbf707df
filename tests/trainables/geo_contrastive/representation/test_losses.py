"""Losses of the stages against loops over days, views and cells, over micro-batches and with absent neighbours."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.config import active, flat
from thalweg.contract import Batch
from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.barlow import barlow
from thalweg.stage_contract import JointLoss, Progress, Rows
from thalweg.training.engine.engine import parameter_groups, train_mode
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.knobs import AlphaKnobs
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.representation.losses import (
    Contrastive,
    ContrastiveReconstruction,
    Reconstruction,
    encoded,
)
from trainables.geo_contrastive.representation.task import RepresentationTask

NAMES = ("t2m", "u")
SAMPLES = 6


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """Two variables with some sea, in short seasons; segments so short that some days have one neighbour or none."""
    fields = make_fields(days=40, variables=NAMES, jumps={2: 5, 3: 4, 6: 4}, sea=0.2)
    return replace(fields, season=np.arange(40) // 5 % 4)


def config_of(**changes: Any) -> GeoContrastive:
    small = {"latent_dim": 6, "width": 4}
    config: GeoContrastive = PRESETS["tiny"].vary(
        data={"variables": NAMES},
        encoder=small | changes.pop("encoder", {}),
        decoder={"dropout": 0.0} | changes.pop("decoder", {}),
        **changes,
    )
    return config


def made(config: GeoContrastive, data: FieldData) -> tuple[FieldModel, Batch]:
    task = RepresentationTask(config)
    torch.manual_seed(0)
    model = task.build(task.facts(data))
    assert isinstance(model, FieldModel)
    batch = task.training_batch(data, np.arange(SAMPLES), np.arange(SAMPLES, dtype=np.uint64))
    return model.eval(), batch


def at(ratio: float = 0.0) -> Progress:
    return Progress(samples=0, total_samples=100, stage="joint", stage_ratio=ratio)


def slow_error(field: Tensor, batch: Batch, day: int, role: int, name: str) -> float:
    """Mean squared error of a field by area, cell by cell."""
    weights = (batch[f"weight/{name}"][day] * batch[f"valid/{name}"][day]).double()
    squares = [
        float(weights[i, j]) * (float(field[i, j]) - float(batch[f"target/{name}"][day, role, i, j])) ** 2
        for i, j in np.ndindex(*weights.shape)
    ]
    return math.fsum(squares) / float(weights.sum())


@pytest.mark.parametrize("cycle", ["projection", "latent"])
@torch.no_grad()
def test_parts_that_are_sums_over_days_equal_the_loops(data: FieldData, cycle: str) -> None:
    config = config_of(objective={"cycle": cycle, "latent_l1": 0.1, "latent_l2": 0.2})
    model, batch = made(config, data)
    loss = ContrastiveReconstruction(config)
    joined = loss.parts(loss.embed(model, batch, at()), at())
    latents, present = encoded(model, batch), batch["present"]
    assert 0 < int(present[:, 1].sum()) < SAMPLES
    expected = dict.fromkeys(("cycle", "latent_l1", "latent_l2", "reconstruction", "neighbours"), 0.0)
    counts = dict.fromkeys(expected, 0)
    for day in range(SAMPLES):
        views = (
            latents[day] if cycle == "latent" else torch.nn.functional.normalize(model.project(latents[day]))
        )
        if present[day, :3].all():
            expected["cycle"] += float((views[1] - 2 * views[0] + views[2]).square().mean())
            counts["cycle"] += 1
        for role in range(present.shape[1]):
            if not present[day, role]:
                continue
            expected["latent_l1"] += float(latents[day, role].abs().mean())
            expected["latent_l2"] += float(latents[day, role].square().mean())
            counts["latent_l1"] += 1
            counts["latent_l2"] += 1
            if role < 3:
                part = "neighbours" if role else "reconstruction"
                fields = model.decode(latents[day, role][None])
                errors = [slow_error(fields[name][0], batch, day, role, name) for name in NAMES]
                expected[part] += math.fsum(errors) / len(NAMES)
                counts[part] += 1
    for part, value in expected.items():
        name = "neighbour_reconstruction" if part == "neighbours" else part
        assert float(joined.sums[name]) == pytest.approx(value, rel=1e-4), name
        assert float(joined.counts[name]) == counts[part], name


def slow_terms(name: str, config: GeoContrastive, rows: Rows) -> tuple[float, float]:
    """A contrastive term from a table of all pairs, and its count."""
    present, days, season = (rows.companions[key] for key in ("present", "role_day", "role_season"))
    projections = rows.embeddings["projection"].detach().double()
    if name == "barlow":
        both = [
            barlow(
                projections[:, 0][there],
                projections[:, role][there],
                off_diagonal=config.objective.off_diagonal,
            )
            for role in (1, 2)
            for there in (present[:, role],)
        ]
        return sum(float(each.total) for each in both), sum(float(each.count) for each in both)
    units = torch.nn.functional.normalize(projections, dim=2)
    roles = range(units.shape[1] if name == "simclr" else 3)
    views = [(day, role) for role in roles for day in range(len(units)) if present[day, role]]
    total = count = 0.0
    for anchor in views:
        if anchor[1] >= 3:
            continue
        logits = {
            other: float(units[anchor] @ units[other]) / value_at(config.objective.temperature, 0.0)
            for other in views
            if other != anchor
        }
        weights = {}
        for other in logits:
            if name == "supcon":
                weights[other] = float(season[anchor] == season[other])
            else:
                gap = abs(int(days[anchor]) - int(days[other]))
                same = anchor[0] == other[0] and other[1] < 3
                weights[other] = math.exp(-config.pairs.decay * gap) if same else 0.0
        whole = math.log(math.fsum(math.exp(value) for value in logits.values()))
        mass = math.fsum(weights.values())
        if mass:
            pulled = math.fsum(weight * (whole - logits[other]) for other, weight in weights.items())
            total += pulled / mass if name == "supcon" else pulled
            count += 1 if name == "supcon" else mass
    return total, count


@pytest.mark.parametrize("kind", ["simclr", "barlow", "supcon", "simclr_supcon", "simclr_barlow"])
def test_contrastive_terms_equal_the_loops(data: FieldData, kind: str) -> None:
    config = config_of(objective={"kind": kind}, pairs={"soft_negatives": True, "soft_gap": 30})
    model, batch = made(config, data)
    batch["role_season"] = torch.randint(0, 3, batch["present"].shape)
    loss = Contrastive(config)
    rows = loss.embed(model, batch, at())
    joined = loss.parts(rows, at())
    for name in kind.split("_"):
        total, count = slow_terms(name, config, rows)
        assert float(joined.sums[name].detach()) == pytest.approx(total, rel=1e-4)
        assert float(joined.counts[name]) == pytest.approx(count, rel=1e-5)
    assert loss.weights(at())[kind.split("_")[-1]] == (0.5 if "_" in kind else 1.0)


@pytest.mark.parametrize("kind", ["simclr_barlow", "supcon"])
@pytest.mark.parametrize("joint", [Contrastive, ContrastiveReconstruction])
def test_micro_batches_give_loss_and_gradient_of_the_whole_batch(
    data: FieldData, kind: str, joint: type[Contrastive]
) -> None:
    config = config_of(objective={"kind": kind, "cycle": "latent", "latent_l1": 0.1})
    model, batch = made(config, data)
    loss = joint(config)
    results = []
    for cuts in ([0, SAMPLES], [0, 2, SAMPLES]):
        parts = [
            loss.embed(model, {name: value[start:stop] for name, value in batch.items()}, at())
            for start, stop in pairwise(cuts)
        ]
        rows = Rows(
            embeddings={
                name: torch.cat([part.embeddings[name] for part in parts]) for name in parts[0].embeddings
            },
            companions={
                name: torch.cat([part.companions[name] for part in parts]) for name in parts[0].companions
            },
        )
        joined, weights = loss.parts(rows, at(0.5)), loss.weights(at(0.5))
        whole = torch.stack(
            [weights[name] * joined.sums[name] / joined.counts[name] for name in weights]
        ).sum()
        model.zero_grad()
        whole.backward()  # type: ignore[no-untyped-call]
        slopes = [weight.grad.flatten() for weight in model.parameters() if weight.grad is not None]
        results.append((float(whole.detach()), torch.cat(slopes)))
    (loss_at_once, at_once), (loss_in_parts, in_parts) = results
    assert loss_in_parts == pytest.approx(loss_at_once, rel=1e-5)
    assert float((in_parts - at_once).norm()) < 1e-3 * float(at_once.norm())


def test_alpha_halves_its_distance_to_the_floor_and_stops_at_the_cap() -> None:
    knobs = AlphaKnobs(start=0.9, half_point=0.25, floor=0.1, cap=0.0)
    assert [knobs.schedule.at(done) for done in (0, 0.25, 0.5)] == pytest.approx([0.9, 0.5, 0.3])
    assert knobs.vary(cap=0.4).schedule.at(1.0) == 0.4
    published = AlphaKnobs()  # exp(-0.01 epoch) over 250 epochs
    assert published.schedule.at(249 / 250) == pytest.approx(math.exp(-2.49), rel=0.01)


def test_alpha_weighs_neighbours_against_the_day_itself() -> None:
    config = config_of(
        objective={"cycle_weight": 2.0, "latent_l1": 0.1}, stages={"alpha": {"half_point": 0.5}}
    )
    weights = ContrastiveReconstruction(config).weights(at(0.5))
    assert weights == pytest.approx(
        {
            "simclr": 0.5,
            "cycle": 1.0,
            "latent_l1": 0.1,
            "neighbour_reconstruction": 0.5,
            "reconstruction": 0.5,
        }
    )


@torch.no_grad()
def test_what_lies_in_absent_views_and_hidden_cells_changes_nothing(data: FieldData) -> None:
    config = config_of()
    model, batch = made(config, data)
    loss = ContrastiveReconstruction(config)

    def losses(views: Batch) -> dict[str, Tensor]:
        return dict(loss.parts(loss.embed(model, views, at()), at()).sums)

    before = losses(batch)
    absent = ~batch["present"]
    assert absent.any()
    other = dict(batch)
    for name in NAMES:
        view, target = batch[f"view/{name}"].clone(), batch[f"target/{name}"].clone()
        view[absent] = 3.0
        target[~batch[f"valid/{name}"][:, None].expand_as(target)] = 9.0
        target[absent[:, :3]] = 5.0
        other |= {f"view/{name}": view, f"target/{name}": target}
    torch.testing.assert_close(losses(other), before)


@pytest.mark.parametrize("kind", ["simclr", "autoencoder"])
def test_a_late_fusion_learns_from_what_a_view_shows_alone(data: FieldData, kind: str) -> None:
    config = config_of(
        objective={"kind": kind},
        encoder={"fusion": {"kind": "average"}, "patterns": 0},
        views={"mode_drop": 1.0},
    )
    model, batch = made(config, data)
    shown, roles = batch["shown"], batch["present"].shape[1]
    assert (shown.sum(2) == len(NAMES) - 1).all()
    views = {name: batch[f"view/{name}"].flatten(0, 1) for name in NAMES}
    expected = model.encode(views, shown.flatten(0, 1)).view(SAMPLES, roles, -1)
    torch.testing.assert_close(encoded(model, batch), expected)
    assert not torch.allclose(expected, model.encode(views).view(expected.shape), atol=1e-3)
    torch.testing.assert_close(
        model(batch)["u"],
        model.decode(model.encode({n: v[::roles] for n, v in views.items()}, shown[:, 0]))["u"],
    )
    other = {**batch, "shown": torch.ones_like(shown)}
    losses = []
    for each in (batch, other):
        for stage in RepresentationTask(config).stages():
            if isinstance(stage.loss, JointLoss):
                joined = stage.loss.parts(stage.loss.embed(model, each, at(0.5)), at(0.5))
                losses.append(sum(float(part.detach()) for part in joined.sums.values()))
            else:
                assert isinstance(stage.loss, Reconstruction)
                losses.append(float(stage.loss.parts(model, each, at())["reconstruction"].detach()))
    half = len(losses) // 2
    assert all(
        one != pytest.approx(two, rel=1e-4) for one, two in zip(losses[:half], losses[half:], strict=True)
    )


def test_the_decoder_stage_leaves_the_encoder_as_it_is(data: FieldData) -> None:
    config = config_of(encoder={"norm": "batch"})
    task = RepresentationTask(config)
    model, batch = made(config, data)
    stage = task.stages()[-1]
    assert isinstance(stage.loss, Reconstruction)
    groups = parameter_groups(model, stage, 0.1)
    train_mode(model, stage)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    errors = stage.loss.parts(model, batch, at())["reconstruction"]
    errors.backward()  # type: ignore[no-untyped-call]
    torch.optim.SGD(groups, lr=0.1).step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith("decoder.") for name in changed)


def test_modes_give_the_stages_with_their_shares() -> None:
    def shares(**changes: Any) -> dict[str, float]:
        return {stage.name: stage.share for stage in RepresentationTask(config_of(**changes)).stages()}

    assert shares(stages={"decoder_mode": "joint"}) == pytest.approx({"contrastive": 2 / 7, "joint": 5 / 7})
    assert shares(stages={"decoder_mode": "frozen"}) == pytest.approx(
        {"contrastive": 1 / 3, "decoder": 2 / 3}
    )
    assert list(shares()) == ["contrastive", "joint", "decoder"]
    assert shares(objective={"kind": "autoencoder"}) == {"autoencoder": 1.0}


@pytest.mark.parametrize(
    ("changes", "views", "idle"),
    [
        ({"kind": "simclr"}, 4, set()),
        ({"kind": "barlow"}, 3, {"pairs.hard_negatives", "pairs.decay", "objective.temperature"}),
        ({"kind": "autoencoder"}, 1, {"pairs.max_delta", "stages.decoder_mode", "objective.cycle"}),
    ],
)
def test_only_views_that_an_objective_reads_are_drawn(
    data: FieldData, changes: dict[str, Any], views: int, idle: set[str]
) -> None:
    config = config_of(objective=changes)
    _, batch = made(config, data)
    assert batch["present"].shape == (SAMPLES, views)
    assert idle <= set(flat(config)) - set(active(config))
    assert (
        isinstance(RepresentationTask(config).stages()[0].loss, JointLoss) == config.objective.is_contrastive
    )


@pytest.mark.parametrize("kind", ["simclr", "autoencoder"])
def test_a_decoder_ascends_what_its_opponent_descends(data: FieldData, kind: str) -> None:
    slopes = {}
    for weight in (0.25, 0.5):
        config = config_of(objective={"kind": kind}, decoder={"adversary_weight": weight})
        model, batch = made(config, data)
        for stage in RepresentationTask(config).stages()[-1:]:
            assert isinstance(stage.loss, Reconstruction)
            parts = stage.loss.parts(model, batch, at())
            assert set(parts) == set(stage.loss.counts(batch, at())) == set(stage.loss.weights(at()))
            parts["adversary"].backward()  # type: ignore[no-untyped-call]
        slopes[weight] = {
            name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
        }
    for name, slope in slopes[0.25].items():
        factor = 1.0 if name.startswith("adversary.") else 2.0
        torch.testing.assert_close(slopes[0.5][name], factor * slope, rtol=1e-3, atol=1e-6)
    assert {name.partition(".")[0] for name in slopes[0.5]} >= {"adversary", "decoder"}


def test_the_opponent_has_a_part_of_the_joint_loss(data: FieldData) -> None:
    config = config_of(decoder={"adversary_weight": 0.25})
    model, batch = made(config, data)
    loss = RepresentationTask(config).stages()[1].loss
    assert isinstance(loss, JointLoss)
    joined = loss.parts(loss.embed(model, batch, at(0.5)), at(0.5))
    assert set(joined.sums) == set(joined.counts) == set(loss.weights(at(0.5)))
    joined.sums["adversary"].backward()  # type: ignore[no-untyped-call]
    reached = {name.partition(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached >= {"adversary", "decoder"}


def test_the_opponent_trains_beside_the_decoder_and_never_beside_the_contrastive_encoder() -> None:
    config = config_of(decoder={"adversary_weight": 0.1})
    task = RepresentationTask(config)
    contrastive, joint, decoder = task.stages()
    model = task.build(None)
    trained = []
    for stage in (contrastive, joint, decoder):
        parameter_groups(model, stage, 0.1)
        trained.append(
            {name.partition(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
        )
    assert trained == [
        {"encoder", "projector"},
        {"encoder", "projector", "decoder", "adversary"},
        {"decoder", "adversary"},
    ]
    weights = joint.loss.weights(at(0.5))
    assert weights["adversary"] == weights["reconstruction"] > 0
    assert "adversary" not in RepresentationTask(config_of()).stages()[1].loss.weights(at())
