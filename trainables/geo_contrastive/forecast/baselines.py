"""Forecasts without training: the calendar, the day of issue, and beside them what reconstructs."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.baselines.simple import Known, Together
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast import ridge
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD


class CalendarForecast(Known):
    """Forecasts the training split's mean of the day of the year.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__(variables, "ahead_climatology", FORECAST_FIELD)


class PersistenceForecast(Known):
    """Forecasts the field of the day of issue.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__(variables, "clean", FORECAST_FIELD, _at_each_lead)


def _at_each_lead(fields: Tensor, batch: Batch) -> Tensor:
    return fields[:, None].expand(-1, len(LEADS), -1, -1)


def forecasting(reconstructing: Mapping[str, nn.Module], data: FieldData) -> dict[str, nn.Module]:
    """Returns baselines of reconstructions, those that can forecast with forecasts, and a ridge regression.

    Args:
        reconstructing: Baselines of reconstructions by name.
        data: Opened data.
    """
    names = tuple(data.variables)
    forecasts = {"climatology": CalendarForecast(names), "persistence": PersistenceForecast(names)}
    both = {
        name: Together(baseline, forecasts[name]) if name in forecasts else baseline
        for name, baseline in reconstructing.items()
    }
    fitted = ridge.fit(data)
    return both if fitted is None else {**both, "forecast_ridge": fitted}
