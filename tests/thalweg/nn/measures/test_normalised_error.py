import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.contract import Metric
from thalweg.nn.measures.normalised_error import NormalisedError, normalised_error, normalised_error_sums


def vectors(seed: int, count: int = 5, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=generator), 2 + torch.randn(count, dim, generator=generator)


def error(prediction: torch.Tensor, target: torch.Tensor, parts: int = 1) -> float:
    sums: dict[str, torch.Tensor] = {}
    for ours, theirs in zip(prediction.chunk(parts), target.chunk(parts), strict=True):
        for name, value in normalised_error_sums(ours, theirs).items():
            assert value.dtype == torch.float64
            sums[name] = sums[name] + value if name in sums else value
    return normalised_error(sums)


@given(seed=st.integers(0, 99), parts=st.integers(1, 3), offset=st.sampled_from([0.0, 1000.0]))
def test_the_error_is_the_mean_square_over_the_variance(seed: int, parts: int, offset: float) -> None:
    prediction, target = (values.double() + offset for values in vectors(seed, count=6))
    expected = ((prediction - target) ** 2).mean() / target.var(0, correction=0).mean()
    assert error(prediction, target, parts) == pytest.approx(float(expected), rel=1e-6)


def test_the_mean_of_the_targets_has_the_error_one_and_the_target_zero() -> None:
    _, target = vectors(0)
    assert error(target.mean(0).expand_as(target), target) == pytest.approx(1.0, rel=1e-6)
    assert error(target, target) == 0.0


def test_the_error_does_not_depend_on_the_unit_of_the_target() -> None:
    prediction, target = vectors(0)
    assert error(1000 * prediction, 1000 * target) == pytest.approx(error(prediction, target), rel=1e-5)


def test_a_target_that_is_constant_has_no_error() -> None:
    prediction, _ = vectors(0)
    assert math.isnan(error(prediction, torch.full_like(prediction, 0.1)))
    assert math.isnan(error(prediction, torch.zeros_like(prediction)))


def test_the_measure_adds_up_over_batches() -> None:
    metric = Metric(name="far", mode="min", unit="1", search_invariant=True, meaning="how far it is")
    measure = NormalisedError(metric, prediction="given", target="wanted")
    prediction, target = vectors(0, count=6)
    states = [
        measure.add({"given": prediction[part], "wanted": target[part]}, {})
        for part in (slice(2), slice(2, 6))
    ]
    found = measure.summarize({name: states[0][name] + states[1][name] for name in states[0]})
    assert found == {"far": pytest.approx(error(prediction, target))}
    assert measure.metrics == (metric,)


def test_outputs_without_prediction_are_not_measured() -> None:
    metric = Metric(name="far", mode="min", unit="1", search_invariant=True, meaning="how far it is")
    measure = NormalisedError(metric, prediction="given", target="wanted")
    assert measure.add({"wanted": torch.ones(2, 2)}, {}) == {}
    assert measure.summarize({}) == {}


def test_sums_can_be_kept_apart_by_unit() -> None:
    metric = Metric(name="far", mode="min", unit="1", search_invariant=True, meaning="how far it is")
    measure = NormalisedError(metric, prediction="given", target="wanted")
    prediction, target = vectors(0, count=6)
    lines = measure.per_sample({"given": prediction, "wanted": target}, {})
    unit = torch.tensor([0, 2, 5])
    found = measure.summarize({name: values[unit].sum(0) for name, values in lines.items()})
    assert found == {"far": pytest.approx(error(prediction[unit], target[unit]))}
