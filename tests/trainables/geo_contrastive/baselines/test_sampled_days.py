import numpy as np
import pytest

from tests.trainables.geo_contrastive.conftest import MakeFields
from trainables.geo_contrastive.assimilation.optimal import fit_covariance
from trainables.geo_contrastive.baselines import sampled_days
from trainables.geo_contrastive.baselines.sampled_days import every_few_days
from trainables.geo_contrastive.seasons.baselines import fit_regression


def test_days_are_spread_over_the_split_and_no_more_than_memory_holds(
    make_fields: MakeFields, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_fields(100)
    assert every_few_days(data, 1000, 32).tolist() == list(range(60))
    assert every_few_days(data, 20, 32).tolist() == list(range(0, 60, 3))
    monkeypatch.setattr(sampled_days, "MAX_VALUES", 32 * 15)
    assert every_few_days(data, 20, 32).tolist() == list(range(0, 60, 4))
    assert every_few_days(data, 20, 10_000).tolist() == [0, 30]


def test_what_baselines_are_fitted_to_is_bounded(
    make_fields: MakeFields, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_fields(500)
    monkeypatch.setattr(sampled_days, "MAX_VALUES", 1)
    assert len(fit_regression(data).weights) == 2  # one pattern of two days, and the constant
    values = data.fields["u"][[0, 150]] - data.climatology["u"][data.day_of_year[[0, 150]]]
    np.testing.assert_allclose(
        fit_covariance(data, "u").std, np.sqrt(np.square(values).mean(0)).ravel(), rtol=1e-5
    )
