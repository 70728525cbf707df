from collections.abc import Callable

import numpy as np
import pytest
import torch

from thalweg.contract import SplitName
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.seasons import baselines
from trainables.geo_contrastive.seasons.baselines import LOGITS, Majority, fit_regression
from trainables.geo_contrastive.seasons.classifier import SeasonClassifier, hidden_widths
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs
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
