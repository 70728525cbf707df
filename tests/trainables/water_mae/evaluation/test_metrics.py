"""Sums that add up give the published formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.trainables.water_mae.conftest import catchment_sums
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.knobs import PUBLISHED_SET

RIVER_FLOW = PUBLISHED_SET["river_flow"]


def slow_nse(seen: np.ndarray, given: np.ndarray) -> float:
    return float(1 - np.sum((given - seen) ** 2) / np.sum((seen - np.mean(seen)) ** 2))


def slow_kge(seen: np.ndarray, given: np.ndarray) -> float:
    correlation = np.corrcoef(seen, given)[0, 1]
    variability = np.std(given) / np.std(seen)
    bias = np.mean(given) / np.mean(seen)
    return float(1 - math.sqrt((correlation - 1) ** 2 + (variability - 1) ** 2 + (bias - 1) ** 2))


def sums_of(seen: np.ndarray, given: np.ndarray) -> dict[str, Tensor]:
    """Sums of catchments as columns."""
    num_days, num_catchments = seen.shape
    return catchment_sums(
        torch.tensor(given).double().reshape(1, num_days, num_catchments, 1),
        torch.tensor(seen).double().reshape(1, num_days, num_catchments, 1),
        torch.ones(1, num_days, num_catchments, 1, dtype=torch.bool),
        torch.arange(num_catchments).expand(1, num_days, num_catchments),
        num_catchments,
    )


@given(st.integers(3, 30), st.integers(1, 5), st.integers(0, 1000))
def test_nse_and_kge_follow_the_published_formulas(num_days: int, num_catchments: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.lognormal(size=(num_days, num_catchments))
    given = seen * rng.lognormal(sigma=0.5, size=seen.shape)
    sums = sums_of(seen, given)
    for column, (nse, kge) in enumerate(zip(metrics.nse(sums), metrics.kge(sums), strict=True)):
        assert float(nse) == pytest.approx(slow_nse(seen[:, column], given[:, column]), rel=1e-6, abs=1e-6)
        assert float(kge) == pytest.approx(slow_kge(seen[:, column], given[:, column]), rel=1e-6, abs=1e-6)


def test_perfection_is_one_and_the_mean_has_nse_zero() -> None:
    seen = np.random.default_rng(0).lognormal(size=(20, 3))
    perfect = sums_of(seen, seen)
    assert metrics.nse(perfect).tolist() == [1, 1, 1]
    assert metrics.kge(perfect).tolist() == pytest.approx([1, 1, 1])
    mean = sums_of(seen, np.broadcast_to(seen.mean(axis=0), seen.shape).copy())
    assert metrics.nse(mean).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    # No correlation, no variability, no bias: Knoben et al. (2019), doi:10.5194/hess-23-4323-2019, Eq. 4.
    assert metrics.kge(mean).tolist() == pytest.approx([1 - math.sqrt(2)] * 3)


def test_nse_and_kge_do_not_change_with_the_unit_of_flow() -> None:
    rng = np.random.default_rng(0)
    seen, given = rng.lognormal(size=(2, 20, 3))
    area = np.array([10.0, 200.0, 3000.0]) / 86.4  # m3/s for 1 mm/day
    in_mm, in_m3 = sums_of(seen, given), sums_of(seen * area, given * area)
    torch.testing.assert_close(metrics.nse(in_mm), metrics.nse(in_m3))
    torch.testing.assert_close(metrics.kge(in_mm), metrics.kge(in_m3))


def test_catchments_without_two_different_flows_are_left_out() -> None:
    seen = np.array([[0.1, 0.3, 0.0], [0.1, 0.4, 0.0], [0.1, 0.5, 0.0]])
    sums = sums_of(seen, seen + 0.1)
    assert len(metrics.nse(sums)) == len(metrics.kge(sums)) == 1
    once = sums_of(seen[:1], seen[:1])
    assert len(metrics.nse(once)) == 0
    assert math.isnan(metrics.median(metrics.nse(once)))


def test_a_prediction_that_is_no_number_is_not_left_out() -> None:
    seen = np.random.default_rng(0).lognormal(size=(20, 3))
    given = seen.copy()
    given[4, 1] = np.nan
    sums = sums_of(seen, given)
    assert math.isnan(metrics.median(metrics.nse(sums)))
    assert math.isnan(metrics.median(metrics.kge(sums)))


def test_values_that_do_not_count_change_nothing_and_patches_are_kept_apart() -> None:
    rng = np.random.default_rng(0)
    seen, given = torch.tensor(rng.lognormal(size=(2, 3, 4, 2, 3)))
    counts = torch.tensor(rng.random((3, 4, 2, 3)) < 0.6)
    patches = torch.tensor(rng.permuted(np.tile(np.arange(5), (3, 4, 1)), axis=2)[:, :, :2].copy())
    found = catchment_sums(given.masked_fill(~counts, math.nan), seen, counts, patches, 5)
    for patch, member in np.ndindex(5, 3):
        here = counts[..., member] & (patches == patch)
        expected = seen[..., member][here] * given[..., member][here]
        assert float(found["product"][patch, member]) == pytest.approx(float(expected.sum()))
        assert float(found["count"][patch, member]) == int(here.sum())


def test_river_flow_undoes_the_normalisation() -> None:
    flow = torch.tensor([[0.0, 0.5, 30.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    scale = torch.tensor([[0.3, 1.5], [-0.2, 0.7]], dtype=torch.float64)
    normalised = (torch.log(flow + 1e-6) - scale[:, :1]) / scale[:, 1:]
    torch.testing.assert_close(metrics.physical(normalised, scale, RIVER_FLOW), flow)


def test_river_flow_stays_between_nothing_and_a_deluge() -> None:
    scale = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    flow = metrics.physical(torch.tensor([[-1e9, 1e9, math.nan]]), scale, RIVER_FLOW)
    assert flow[0, :2].tolist() == [0.0, metrics.largest(RIVER_FLOW)]
    assert math.isnan(float(flow[0, 2]))


def test_sums_are_kept_by_catchment_and_year() -> None:
    rng = np.random.default_rng(0)
    seen, given = torch.tensor(rng.lognormal(size=(2, 3, 4, 2, 3)))
    counts = torch.tensor(rng.random((3, 4, 2, 3)) < 0.6)
    patches = torch.tensor(rng.permuted(np.tile(np.arange(5), (3, 4, 1)), axis=2)[:, :, :2].copy())
    years = torch.tensor([[1999, 1999, 2000, 2000], [2000] * 4, [2003] * 4])
    moments = metrics.flow_moments(given, seen, counts)
    table = metrics.by_place_and_year(moments, patches, 5, years)
    assert table.keys.tolist() == sorted([place, year] for place in range(15) for year in (1999, 2000, 2003))
    for (place, year), values in zip(table.keys.tolist(), table.values, strict=True):
        patch, member = divmod(place, 3)
        here = counts[..., member] & (patches == patch) & (years[..., None] == year)
        expected = (seen[..., member][here] * given[..., member][here]).sum()
        assert float(values[metrics.MOMENTS.index("product")]) == pytest.approx(float(expected))
        assert float(values[0]) == int(here.sum())
