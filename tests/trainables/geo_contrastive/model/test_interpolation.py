"""Interpolation by patterns: what it finds, what it starts from, and that an untrained model shows as much."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.config import Precision
from thalweg.training.engine import half_precision
from thalweg.training.engine.half_precision import DTYPES
from trainables.geo_contrastive.baselines import patterns as patterns_baseline
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data import leading
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.leading import leading_patterns
from trainables.geo_contrastive.evaluation.reconstruction import FIELD, Reconstruction
from trainables.geo_contrastive.model import interpolation
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.model.interpolation import Interpolation, most_likely
from trainables.geo_contrastive.representation.task import RepresentationTask

TWO_GRIDS: dict[str, Any] = {
    "grids": {"a": (8, 4), "b": (5, 3)},
    "variables": {"t2m": "a", "u": "a", "pr": "b"},
    "sea": 0.2,
    "days": 300,
}
NAMES = ("t2m", "u", "pr")
WORLD_SEED = 3


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """Waves on two grids, a fifth of whose cells have no data."""
    return make_fields(**TWO_GRIDS)


def _model(
    data: FieldData, fusion: str, patterns: int, linear: bool = True, names: tuple[str, ...] = NAMES
) -> FieldModel:
    torch.manual_seed(WORLD_SEED)
    config = PRESETS["tiny"].vary(
        data={"variables": names},
        encoder={"fusion": {"kind": fusion}, "width": 4, "latent_dim": 16, "patterns": patterns},
        decoder={"linear": linear},
    )
    task = RepresentationTask(config)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, FieldModel)
    return model


def _rrmse(data: FieldData, model: FieldModel) -> float:
    task = RepresentationTask(PRESETS["tiny"].vary(data={"variables": NAMES}))
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    measure = Reconstruction(NAMES)
    with torch.no_grad():
        outputs = {f"{FIELD}{name}": field for name, field in model(batch).items()}
    return measure.summarize(dict(measure.add(outputs, batch)))["rrmse"]


@pytest.mark.parametrize("max_values", [1 << 24, 30])
def test_amplitudes_are_those_of_a_plain_regression(max_values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpolation, "_MAX_VALUES", max_values)
    rng = np.random.default_rng(0)
    patterns, seen = rng.normal(size=(9, 3)), rng.normal(size=(5, 9))
    precision = rng.uniform(0.5, 2.0, (5, 9)) * (rng.random((5, 9)) < 0.6)
    precision[4] = 0.0
    precision[3] = precision[1]  # as of whole fields
    found = most_likely(*map(torch.from_numpy, (seen, precision, patterns)))
    for row, values, weights in zip(found, seen, precision, strict=True):
        # Least squares of the visible cells and of amplitudes that are 0 with variance 1.
        visible = weights > 0
        root = np.sqrt(weights[visible])[:, None]
        lines = np.concatenate([root * patterns[visible], np.eye(3)])
        right = np.concatenate([root[:, 0] * values[visible], np.zeros(3)])
        np.testing.assert_allclose(row, np.linalg.lstsq(lines, right, rcond=None)[0], atol=1e-12)
    assert not found[4].any()


def test_whole_fields_are_solved_as_each_alone() -> None:
    rng = np.random.default_rng(4)
    patterns, seen = torch.from_numpy(rng.normal(size=(9, 3))), torch.from_numpy(rng.normal(size=(5, 9)))
    precision = torch.from_numpy(rng.uniform(0.5, 2.0, 9)).expand(5, 9)
    other = torch.cat([precision, torch.zeros(1, 9, dtype=torch.float64)])
    expected = most_likely(torch.cat([seen, seen[:1]]), other, patterns)[:5]
    torch.testing.assert_close(most_likely(seen, precision, patterns), expected)


def test_patterns_are_principal_components_of_the_training_days_alone(data: FieldData) -> None:
    days = data.days["train"]
    rows = np.concatenate(
        [field[days.start : days.stop].reshape(len(days), -1) for field in data.fields.values()], axis=1
    ).astype(np.float64)
    found = leading_patterns(data, 4)
    patterns = np.concatenate([found[name]["patterns"] for name in NAMES])
    centre = np.concatenate([found[name]["centre"] for name in NAMES])
    noise = np.concatenate([found[name]["noise"] for name in NAMES])
    np.testing.assert_allclose(centre, rows.mean(0), atol=1e-6)
    covariance = np.cov(rows.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    kept = vectors[:, -4:] * np.sqrt(values[-4:])
    np.testing.assert_allclose(patterns @ patterns.T, kept @ kept.T, atol=1e-5)
    assert (np.diff((patterns**2).sum(0)) < 1e-6).all()
    inside: list[float] = []
    outside: list[float] = []
    for fold in np.array_split(np.arange(len(rows)), 5):
        changes = rows - rows.mean(0)
        others = np.delete(changes, fold, axis=0)
        leading_ones = np.linalg.svd(others, full_matrices=False)[2][:4]
        for found_in, part in ((inside, others), (outside, changes[fold])):
            found_in.append(((part - part @ leading_ones.T @ leading_ones) ** 2).sum() / len(part))
    ratio = sum(outside) / sum(inside)
    assert 1.0 < ratio < 4.0
    left = (covariance.diagonal() - (kept**2).sum(1)) * ratio
    has_data = np.concatenate([data.valid[name].reshape(-1) for name in NAMES])
    np.testing.assert_allclose(noise[has_data], left[has_data], atol=1e-4)
    assert not patterns[~has_data].any()
    assert (noise > 0).all()


def test_a_cell_that_is_all_but_constant_in_train_alone_moves_no_other(make_fields: MakeFields) -> None:
    data = make_fields(300, variables=("t2m", "u", "z"))
    names = tuple(data.variables)
    still, moved = (dict(data.fields) for _ in range(2))
    still["u"] = data.fields["u"].copy()
    still["u"][:, 2, 1] = 0.7 + 1e-4 * np.random.default_rng(0).standard_normal(300)  # of packing, say
    usual = dict(data.climatology) | {"u": data.climatology["u"].copy()}
    usual["u"][:, 2, 1] = 0.7
    moved["u"] = still["u"].copy()
    moved["u"][data.days["val"].start :, 2, 1] = 1.9
    found = []
    for fields in (still, moved):
        one = replace(data, fields=fields, climatology=usual)
        batch = RepresentationTask(PRESETS["tiny"].vary(data={"variables": names})).evaluation_batch(
            one, "val", np.arange(20)
        )
        seen = {name: batch[f"view/{name}"][:, 0] for name in names}
        seen["u"][:, 2, 1] = batch["clean/u"][:, 2, 1]
        with torch.no_grad():
            found.append(_model(one, "average", 8, names=names).encode(seen))
            found.append(patterns_baseline.fit(one)(batch | {"view/u": seen["u"][:, None]})[f"{FIELD}z"])
    for before, after in zip(found[:2], found[2:], strict=True):
        torch.testing.assert_close(before, after, rtol=0, atol=1e-4)


def test_few_days_have_few_patterns(make_fields: MakeFields) -> None:
    data = make_fields(days=20)  # 12 of which train
    patterns = np.concatenate([each["patterns"] for each in leading_patterns(data, 8).values()])
    assert (np.abs(patterns).sum(0) > 0).tolist() == [True] * 3 + [False] * 5


def test_blocks_of_cells_change_nothing(data: FieldData, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = leading_patterns(data, 3)
    monkeypatch.setattr(leading, "_BLOCK", 7)
    for name, found in leading_patterns(data, 3).items():
        np.testing.assert_allclose(found["patterns"], whole[name]["patterns"], atol=1e-5)


@pytest.mark.parametrize("fusion", ["average", "self_attention", "gcn"])
def test_an_untrained_model_reconstructs_by_patterns_and_better_by_more_of_them(
    fusion: str, data: FieldData
) -> None:
    errors = [_rrmse(data, _model(data, fusion, patterns)) for patterns in (1, 2, 8)]
    without = _rrmse(data, _model(data, fusion, 0))
    assert errors[0] > errors[1] > errors[2]
    assert without > 1.5 * errors[2]


def test_visible_cells_stay_hidden_ones_follow_and_cells_without_data_are_0(data: FieldData) -> None:
    model = _model(data, "average", 4)
    task = RepresentationTask(PRESETS["tiny"].vary(data={"variables": NAMES}))
    batch = task.evaluation_batch(data, "val", np.arange(6))
    view = {name: batch[f"view/{name}"][:, 0] for name in NAMES}
    layer = model.encoder.get_submodule("interpolation")
    assert isinstance(layer, Interpolation)
    _, filled = layer(view, torch.ones(6, 3, dtype=torch.bool))
    for name in NAMES:
        valid, visible = torch.from_numpy(data.valid[name].copy()), view[name] != 0
        assert torch.equal(filled[name][visible], view[name][visible])
        assert not filled[name][:, ~valid].any()
        hidden = valid & ~visible
        errors = (filled[name] - batch[f"clean/{name}"])[hidden].square().mean()
        assert errors < 0.5 * batch[f"clean/{name}"][hidden].square().mean()


@pytest.mark.parametrize("fusion", ["average", "early"])
def test_what_an_absent_variable_holds_counts_for_nothing(
    fusion: str, make_fields: MakeFields, data: FieldData
) -> None:
    days = data if fusion == "average" else make_fields(days=200, variables=NAMES)
    model = _model(days, fusion, 4)
    fields = {name: torch.from_numpy(days.fields[name][:3]) for name in NAMES}
    present = torch.tensor([[True, False, True]]).expand(3, -1)
    other = fields | {"u": torch.full_like(fields["u"], 1e4)}
    first, second = (model.encode(each, present) for each in (fields, other))
    assert torch.equal(first, second)
    assert not torch.equal(first, model.encode(fields))


@pytest.mark.parametrize("fusion", ["average", "early"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_rounds_no_amplitude(
    precision: Precision, fusion: str, make_fields: MakeFields
) -> None:
    data = make_fields(300, variables=NAMES)
    exact, model = (_model(data, fusion, 8) for _ in range(2))
    half_precision.fit(model, precision)
    for weight in model.parameters():
        weight.data = weight.data.to(DTYPES[precision])
    shown = np.random.default_rng(0).random((40, 8, 4)) < 0.3
    fields = {name: torch.from_numpy(data.fields[name][:40] * shown) for name in NAMES}
    with torch.no_grad():
        found = model.encode(fields)
    assert not torch.equal(found, found.to(DTYPES[precision]).float())
    torch.testing.assert_close(found, exact.encode(fields), rtol=0, atol=1e-6)


def test_without_facts_of_the_data_cells_stay_hidden(
    build: Callable[..., FieldModel], size: Callable[[torch.nn.Module], int]
) -> None:
    model = build(None, encoder={"latent_dim": 16, "width": 4, "patterns": 8})
    fields = {name: torch.zeros(2, 64, 32) for name in model.geometry.variables}
    layer = model.encoder.get_submodule("interpolation")
    amplitudes, filled = layer(fields, torch.ones(2, 5, dtype=torch.bool))
    assert not amplitudes.any()
    assert not any(field.any() for field in filled.values())
    assert size(layer) == 0  # statistics are buffers
