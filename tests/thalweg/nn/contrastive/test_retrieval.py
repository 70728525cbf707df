import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from thalweg.contract import Metric
from thalweg.nn.contrastive.retrieval import Retrieval, found_at_1, recall_at_1, standard_error

METRIC = Metric(name="found", mode="max", unit="1", search_invariant=True, meaning="share that is found")


def slow(first: torch.Tensor, second: torch.Tensor, pool: int) -> float:
    """Counts one sample after the other."""
    size = min(pool, len(first))
    found, asked = 0, 0
    for start in range(0, len(first) - size + 1, size):
        samples = range(start, start + size)
        for asking, answering in ((first, second), (second, first)):
            for sample in samples:
                cosines = [float(asking[sample].double() @ answering[other].double()) for other in samples]
                found += cosines.index(max(cosines)) == sample - start
                asked += 1
    return found / asked


def slow_error(first: torch.Tensor, second: torch.Tensor, pool: int) -> float:
    """Asks for one sample at a time, then takes the textbook's standard error of a mean."""
    size = min(pool, len(first))
    shares = []
    for start in range(0, len(first) - size + 1, size):
        for sample in range(start, start + size):
            found = 0
            for asking, answering in ((first, second), (second, first)):
                cosines = [
                    float(asking[sample].double() @ answering[start + k].double()) for k in range(size)
                ]
                found += cosines.index(max(cosines)) == sample - start
            shares.append(found / 2)
    if len(shares) < 2:
        return math.nan
    mean = sum(shares) / len(shares)
    variance = sum((share - mean) ** 2 for share in shares) / (len(shares) - 1)
    return math.sqrt(variance / len(shares))


@given(count=st.integers(1, 23), pool=st.integers(1, 8), dim=st.integers(1, 3), seed=st.integers(0, 99))
def test_recall_follows_the_slow_definition(count: int, pool: int, dim: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first = nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)
    noise = torch.randn(count, dim, generator=generator)
    second = nn.functional.normalize(first + 0.5 * noise, dim=1)
    assert recall_at_1(first, second, pool) == pytest.approx(slow(first, second, pool))
    error = standard_error(found_at_1(first, second, pool))
    assert error == pytest.approx(slow_error(first, second, pool), nan_ok=True)


def test_embeddings_that_are_no_numbers_find_nothing() -> None:
    broken = torch.eye(3)
    broken[1, 1] = torch.nan
    assert math.isnan(recall_at_1(broken, torch.eye(3), 3))
    assert math.isnan(recall_at_1(torch.eye(3), broken, 3))


def test_samples_beyond_the_last_whole_pool_do_not_count() -> None:
    eye = torch.eye(7)
    assert recall_at_1(eye, eye, 3) == 1.0
    wrong = eye.clone()
    wrong[6] = -eye[6]
    assert recall_at_1(eye, wrong, 3) == 1.0
    assert recall_at_1(eye, wrong, 7) < 1.0


def test_a_split_below_one_pool_is_a_smaller_pool() -> None:
    assert recall_at_1(torch.eye(5), torch.eye(5).roll(1, 0), 100) == 0.0
    assert recall_at_1(torch.eye(5), torch.eye(5), 100) == 1.0


def test_embeddings_that_are_all_alike_find_one_of_a_pool() -> None:
    same = torch.ones(200, 1)
    assert recall_at_1(same, same, 100) == pytest.approx(1 / 100)


def test_the_measure_keeps_the_rows_of_a_split_and_asks_once() -> None:
    measure = Retrieval(METRIC, "image", "scan", pool=4)
    images, scans = (nn.functional.normalize(torch.randn(8, 2), dim=1) for _ in range(2))
    states = [
        measure.add({"image": images[part], "scan": scans[part], "odds": torch.ones(4)}, {})
        for part in (slice(4), slice(4, 8))
    ]
    assert all(set(state) == measure.rows == {"image", "scan"} for state in states)
    whole = {name: torch.cat([state[name] for state in states]) for name in measure.rows}
    assert measure.summarize(whole) == {"found": recall_at_1(images, scans, 4)}


def test_the_standard_error_is_measured_if_it_has_a_metric() -> None:
    error = Metric(name="error", mode="min", unit="1", search_invariant=False, meaning="how sure")
    images, scans = (nn.functional.normalize(torch.randn(8, 2), dim=1) for _ in range(2))
    found = Retrieval(METRIC, "image", "scan", pool=4, error=error).summarize(
        {"image": images, "scan": scans}
    )
    assert found["error"] == standard_error(found_at_1(images, scans, 4))
    assert found["found"] == recall_at_1(images, scans, 4)


def test_the_standard_error_is_how_recall_differs_between_splits() -> None:
    """Statistics: many splits of one distribution, each with its own recall and its own error."""
    generator = torch.Generator().manual_seed(0)
    recalls, errors = [], []
    for _ in range(200):
        first = nn.functional.normalize(torch.randn(60, 4, generator=generator), dim=1)
        noise = torch.randn(60, 4, generator=generator)
        found = found_at_1(first, nn.functional.normalize(first + 0.3 * noise, dim=1), 20)
        recalls.append(float(found.mean()))
        errors.append(standard_error(found))
    assert torch.tensor(errors).mean() == pytest.approx(float(torch.tensor(recalls).std()), rel=0.25)


def test_outputs_without_both_embeddings_are_not_measured() -> None:
    measure = Retrieval(METRIC, "image", "scan", pool=4)
    assert measure.add({"image": torch.ones(2, 2)}, {}) == {}
    assert measure.summarize({}) == {}
