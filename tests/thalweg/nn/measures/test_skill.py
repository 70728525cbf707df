import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.measures.skill import Skill, mean_squared_error, skill, squared_error_sums


@given(st.integers(1, 4), st.integers(0, 1000))
def test_skill_is_one_minus_error_over_variance(num_samples: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, prediction = torch.tensor(rng.standard_normal((2, num_samples, 3, 2, 4)))
    counts = torch.tensor(rng.random(target.shape) < 0.8)
    counts[0, 0, 0, :2] = True
    sums = squared_error_sums(prediction, target, counts)
    mse = float((prediction - target)[counts].square().mean())
    assert mean_squared_error(sums) == pytest.approx(mse)
    assert skill(sums) == pytest.approx(1 - mse / float(target[counts].var(correction=0)))


def test_nothing_counted_has_no_skill() -> None:
    values = torch.ones(1, 1, 1, 1)
    sums = squared_error_sums(values, values, torch.zeros(1, 1, 1, 1, dtype=torch.bool))
    assert math.isnan(skill(sums)) and math.isnan(mean_squared_error(sums))


def test_what_does_not_vary_has_no_skill_whatever_rounding_leaves() -> None:
    target = torch.full((1000,), 273.16, dtype=torch.float64)
    sums = squared_error_sums(target + 1, target, torch.ones_like(target, dtype=torch.bool))
    assert float(sums["square"] - sums["total"] ** 2 / sums["count"]) > 0  # rounding leaves something
    assert math.isnan(skill(sums))
    assert mean_squared_error(sums) == pytest.approx(1)


def test_values_that_do_not_count_may_be_anything() -> None:
    target, prediction = torch.tensor([1.0, 2.0, math.nan]), torch.tensor([1.5, 2.0, math.inf])
    counts = torch.tensor([True, True, False])
    sums = squared_error_sums(prediction, target, counts)
    assert {name: float(value) for name, value in sums.items()} == {
        "count": 2,
        "total": 3,
        "square": 5,
        "error": 0.25,
    }
    assert math.isnan(mean_squared_error(squared_error_sums(prediction, target, torch.ones_like(counts))))


@pytest.mark.parametrize("masked", [True, False])
def test_the_measure_adds_up_over_batches(masked: bool) -> None:
    measure = Skill(
        "river_flow", prediction="flow", target="seen", counts="valid" if masked else None, unit="mm/day"
    )
    target, prediction = torch.randn(2, 9, 4).unbind()
    valid = torch.rand(9, 4) < 0.7
    states = [
        measure.add({"flow": prediction[part]}, {"seen": target[part], "valid": valid[part]})
        for part in (slice(2), slice(2, 9))
    ]
    counts = valid if masked else torch.ones_like(valid)
    sums = squared_error_sums(prediction, target, counts)
    found = measure.summarize({name: states[0][name] + states[1][name] for name in states[0]})
    assert found == pytest.approx(
        {"skill_river_flow": skill(sums), "mse_river_flow": mean_squared_error(sums)}
    )
    assert [(metric.name, metric.mode, metric.unit) for metric in measure.metrics] == [
        ("skill_river_flow", "max", "1"),
        ("mse_river_flow", "min", "(mm/day)^2"),
    ]


def test_outputs_without_prediction_are_not_measured() -> None:
    measure = Skill("rain", prediction="rain", target="rain")
    assert measure.add({}, {"rain": torch.ones(2)}) == {}
    assert measure.summarize({}) == {}


def test_sums_can_be_kept_apart_by_unit() -> None:
    measure = Skill("rain", prediction="rain", target="seen", counts="valid")
    prediction, target = torch.randn(2, 6, 4).unbind()
    valid, winter = torch.rand(6, 4) < 0.7, torch.tensor([0, 2, 5])
    lines = measure.per_sample({"rain": prediction}, {"seen": target, "valid": valid})
    assert all(len(values) == 6 and values.dtype == torch.float64 for values in lines.values())
    found = measure.summarize({name: values[winter].sum(0) for name, values in lines.items()})
    alone = measure.add({"rain": prediction[winter]}, {"seen": target[winter], "valid": valid[winter]})
    assert found == pytest.approx(measure.summarize(alone))
