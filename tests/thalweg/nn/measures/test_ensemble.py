import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.nn.measures.ensemble import ensemble_variance, fair_crps, spread_skill


def slow_crps(members: list[float], truth: float) -> float:
    """The definition, pair by pair; properscoring divides by M^2 in place of M (M - 1)."""
    count = len(members)
    error = sum(abs(member - truth) for member in members) / count
    pairs = sum(abs(one - other) for one, other in product(members, members))
    return error - pairs / (2 * count * (count - 1))


@given(st.integers(2, 9), st.integers(0, 1000))
def test_the_crps_is_that_of_its_definition(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    members, truth = rng.standard_normal((3, count, 2, 2)).round(1), rng.standard_normal((3, 2, 2))
    found = fair_crps(torch.tensor(members), torch.tensor(truth))
    for place in np.ndindex(truth.shape):
        sample, *cell = place
        expected = slow_crps(members[(sample, slice(None), *cell)].tolist(), float(truth[place]))
        assert float(found[place]) == pytest.approx(expected, abs=1e-12)


def test_the_crps_of_two_members_around_the_truth_is_known() -> None:
    # scoringrules' "fair" gives the same: (1 + 2) / 2 - 3 / 2.
    assert float(fair_crps(torch.tensor([[1.0, 4.0]]), torch.tensor([2.0]))) == 0.0


def test_a_fair_score_does_not_reward_more_members() -> None:
    draws = torch.randn(40_000, 9, generator=torch.manual_seed(1))
    few, many = (float(fair_crps(draws[:, 1 : 1 + count], draws[:, 0]).mean()) for count in (2, 8))
    assert few == pytest.approx(many, abs=0.01)
    assert many == pytest.approx(1 / math.sqrt(math.pi), abs=0.01)  # of a reliable standard normal forecast


def test_equal_members_have_the_absolute_error_and_one_member_no_score() -> None:
    truth = torch.tensor([1.0, -2.0])
    assert fair_crps(torch.zeros(2, 4), truth).tolist() == [1.0, 2.0]
    assert fair_crps(torch.zeros(2, 1), truth).isnan().all()
    assert ensemble_variance(torch.zeros(2, 1)).isnan().all()


def test_a_missing_member_leaves_no_score() -> None:
    assert fair_crps(torch.tensor([[1.0, math.nan, 2.0]]), torch.tensor([1.0])).isnan().all()


def test_reliable_members_have_a_spread_skill_of_1() -> None:
    draws = torch.randn(20_000, 5, generator=torch.manual_seed(2))
    members, truth = draws[:, 1:], draws[:, 0]
    variance = float(ensemble_variance(members).mean())
    error = float((members.mean(1) - truth).square().mean())
    assert spread_skill(variance, error, 4) == pytest.approx(1.0, abs=0.02)
    assert spread_skill(variance / 4, error, 4) == pytest.approx(0.5, abs=0.01)
    assert math.isnan(spread_skill(variance, 0.0, 4))
