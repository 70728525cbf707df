from collections.abc import Callable

import numpy as np
import pytest
import torch

from tests import tasks
from thalweg.contract import SplitName
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.downstream.model import HeadedModel
from trainables.geo_contrastive.seasons import baselines, logistic
from trainables.geo_contrastive.seasons.baselines import LOGITS, Majority, fit_regression
from trainables.geo_contrastive.seasons.classifier import SeasonClassifier, hidden_widths
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs
from trainables.geo_contrastive.seasons.season_regression import shown
from trainables.geo_contrastive.seasons.task import SeasonTask

ALONE = ProcessGroup(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def data(make_fields: Callable[..., FieldData]) -> FieldData:
    """Two years and a half of little weather beside the seasons."""
    return make_fields(900, noise=0.1)


@pytest.fixture(scope="module")
def task() -> SeasonTask:
    """The task of the tiny preset."""
    return SeasonTask(PRESETS["tiny_seasons"])


def test_the_hidden_layers_are_the_published_ones() -> None:
    assert hidden_widths(1000) == (250, 62)
    assert hidden_widths(16) == (8, 8)
    count = sum(weight.numel() for weight in SeasonClassifier(SeasonKnobs(), 1000).parameters())
    assert count == 1000 * 250 + 250 + 250 * 62 + 62 + 62 * 4 + 4


def test_labels_are_those_of_the_days_in_every_split(data: FieldData, task: SeasonTask) -> None:
    for split, days in data.days.items():
        indices = np.array([0, len(days) // 2, len(days) - 1])
        batch = task.evaluation_batch(data, split, indices)
        assert batch["season"].tolist() == data.season[days.start + indices].tolist()
        assert batch["day"].tolist() == data.day[days.start + indices].tolist()
    batch = task.training_batch(data, np.array([3, 500]), np.array([1, 2], np.uint64))
    assert batch["season"].tolist() == data.season[[3, 500]].tolist()
    assert batch["position"].tolist() == [3, 500]


def test_validation_and_test_are_two_splits(data: FieldData, task: SeasonTask) -> None:
    baseline = task.baselines(data)["pattern_regression"]
    splits: tuple[SplitName, ...] = ("val", "test")
    val, test = (
        evaluate_split(task, data, baseline, ALONE, split=split, batch_size=64, is_baseline=True)
        for split in splits
    )
    assert val["season_cross_entropy"] != test["season_cross_entropy"]


def test_the_majority_is_what_the_training_split_has(data: FieldData) -> None:
    seasons = data.season[data.days["train"].start : data.days["train"].stop]
    logits = Majority(seasons)({"day": torch.zeros(2)})[LOGITS]
    counts = np.array([(seasons == season).sum() for season in range(4)])
    assert logits.shape == (2, 4)
    np.testing.assert_allclose(logits[0].exp().numpy(), (counts + 1) / (counts.sum() + 4))


def test_variables_may_have_dots_in_their_names(
    make_fields: Callable[..., FieldData], task: SeasonTask
) -> None:
    plain, dotted = (make_fields(300, variables=names) for names in (("u", "z"), ("u.850", "train")))
    logits = []
    for data in (plain, dotted):
        batch = task.evaluation_batch(data, "val", np.arange(4))
        logits.append(fit_regression(data)(batch)[LOGITS])
    torch.testing.assert_close(*logits)


def test_the_regression_of_patterns_is_that_of_a_plain_one(data: FieldData) -> None:
    train = data.days["train"]
    found = fit_regression(data)
    batch = {"day": torch.zeros(len(train))} | {
        f"clean/{name}": torch.from_numpy(field[train.start : train.stop])
        for name, field in data.fields.items()
    }
    rows = np.concatenate(
        [
            (
                (field[train.start : train.stop] - field[train.start : train.stop].mean(0, dtype=np.float64))
                * area
            ).reshape(len(train), -1)
            for field, area in (
                (data.fields[name].astype(np.float64), np.sqrt(grid.weights / grid.weights.sum()))
                for grid in data.grids.values()
                for name in data.fields
            )
        ],
        axis=1,
    )
    left, _, _ = np.linalg.svd(rows, full_matrices=False)
    components = left[:, : baselines.NUM_PATTERNS] * np.sqrt(len(train))
    terms = torch.tensor(np.c_[components, np.ones(len(train))])
    seasons = torch.from_numpy(data.season[train.start : train.stop])
    logits = found(batch)[LOGITS]
    # Signs and order of patterns are free, but neither what they span nor the loss at the minimum.
    span = np.linalg.lstsq(terms.numpy(), logits.numpy(), rcond=None)
    assert np.abs(terms.numpy() @ span[0] - logits.numpy()).max() < 1e-6
    weights = torch.tensor(span[0], requires_grad=True)
    loss = torch.nn.functional.cross_entropy(terms @ weights, seasons)
    (loss + baselines.PENALTY * weights[:-1].square().mean()).backward()  # type: ignore[no-untyped-call]
    assert weights.grad is not None and float(weights.grad.abs().max()) < 1e-3
    assert float((logits.argmax(1) == seasons).double().mean()) > 0.7


def test_the_penalty_of_the_linear_part_is_the_one_that_tells_left_out_fifths_best() -> None:
    rng = np.random.default_rng(0)
    members = torch.from_numpy(rng.normal(size=(100, 12)))
    seasons = torch.from_numpy(rng.integers(0, 4, 100))  # nothing to be learnt
    errors = {}
    for penalty in logistic.PENALTIES:
        errors[penalty] = 0.0
        for fold in np.array_split(np.arange(100), 5):
            others = np.setdiff1d(np.arange(100), fold)
            weights = logistic.fit_logistic(members[others], seasons[others], penalty)
            logits = torch.cat([members[fold], torch.ones(len(fold), 1)], dim=1) @ weights
            errors[penalty] -= float(logits.log_softmax(1)[range(len(fold)), seasons[fold]].sum())
    best = min(errors, key=lambda penalty: errors[penalty])
    assert best == max(logistic.PENALTIES)
    found = logistic.best_logistic(members, seasons)
    torch.testing.assert_close(found, logistic.fit_logistic(members, seasons, best))


def _classified(task: SeasonTask, data: FieldData) -> tuple[HeadedModel, dict[str, float]]:
    """Returns an untrained model with the statistics of the training days, and its metrics."""
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    tasks.prepare(task.stages()[-1], data, model)
    assert isinstance(model, HeadedModel)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    return model, tasks.metrics(task, model, batch)


@pytest.mark.slow
def test_the_linear_part_alone_tells_seasons_better_than_their_shares(
    make_fields: Callable[..., FieldData], task: SeasonTask
) -> None:
    few = SeasonTask(task.config.vary(encoder={"latent_dim": 16}))
    data = make_fields(900, noise=0.1)
    for values in data.fields.values():
        values += np.array([1.0, 0.0, -1.0, 0.3], np.float32)[data.season][:, None, None]
    model, found = _classified(few, data)
    batch = few.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    usual = Majority(data.season[data.days["train"].start : data.days["train"].stop])(batch)[LOGITS]
    shares = float(torch.nn.functional.cross_entropy(usual, batch["season"]))
    assert found["season_cross_entropy"] < 0.5 * shares
    without, _ = _classified(SeasonTask(few.config.vary(downstream={"linear": False})), data)
    assert isinstance(without.head, SeasonClassifier)
    assert without.head.regression is None
    tasks.prepare(few.stages()[-1], data, model)
    assert tasks.metrics(few, model, batch) == found  # a trial that goes on keeps it


@pytest.mark.slow
def test_numbers_count_by_how_far_fields_move_with_them(data: FieldData, task: SeasonTask) -> None:
    model, _ = _classified(SeasonTask(task.config.vary(encoder={"latent_dim": 8})), data)
    scale = shown(model, 8)
    with torch.no_grad():
        usual = model.decode(model.standardization.restore(torch.zeros(1, 8)))
        for number in (0, 7):
            moved = model.decode(model.standardization.restore(torch.eye(8)[number][None]))
            squares = [float((moved[name] - usual[name]).square().mean()) for name in usual]
            assert float(scale[number] / scale[0]) == pytest.approx(
                np.sqrt(np.mean(squares)) / _first(model), rel=1e-4
            )
    assert float(scale.max()) == 1.0


def _first(model: HeadedModel) -> float:
    """How far fields move with the first number."""
    usual, moved = (
        model.decode(model.standardization.restore(latent[None]))
        for latent in (torch.zeros(8), torch.eye(8)[0])
    )
    return float(np.sqrt(np.mean([float((moved[name] - usual[name]).square().mean()) for name in usual])))
