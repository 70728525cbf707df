"""Forecasts without training: the calendar, the day of issue, and beside them what reconstructs."""

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from thalweg.contract import Batch
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.forecast import ridge
from trainables.geo_contrastive.forecast.batches import LEADS
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD


class CalendarForecast(nn.Module):
    """Forecasts the training split's mean of the day of the year.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__()
        self._variables = tuple(variables)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the fields up."""
        return {f"{FORECAST_FIELD}{name}": batch[f"ahead_climatology/{name}"] for name in self._variables}


class PersistenceForecast(nn.Module):
    """Forecasts the field of the day of issue.

    Args:
        variables: Names of the variables.
    """

    def __init__(self, variables: Sequence[str]) -> None:
        super().__init__()
        self._variables = tuple(variables)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Looks the fields up."""
        return {
            f"{FORECAST_FIELD}{name}": batch[f"clean/{name}"][:, None].expand(-1, len(LEADS), -1, -1)
            for name in self._variables
        }


class Both(nn.Module):
    """A baseline that reconstructs and forecasts.

    Args:
        reconstructs: Baseline of reconstructions.
        forecasts: Baseline of forecasts.
    """

    def __init__(self, reconstructs: nn.Module, forecasts: nn.Module) -> None:
        super().__init__()
        self.reconstructs, self.forecasts = reconstructs, forecasts

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Predicts both."""
        return {**self.reconstructs(batch), **self.forecasts(batch)}


def forecasting(reconstructing: Mapping[str, nn.Module], data: FieldData) -> dict[str, nn.Module]:
    """Returns baselines of reconstructions, those that can forecast with forecasts, and a ridge regression.

    Args:
        reconstructing: Baselines of reconstructions by name.
        data: Opened data.
    """
    names = tuple(data.variables)
    forecasts = {"climatology": CalendarForecast(names), "persistence": PersistenceForecast(names)}
    both = {
        name: Both(baseline, forecasts[name]) if name in forecasts else baseline
        for name, baseline in reconstructing.items()
    }
    fitted = ridge.fit(data)
    return both if fitted is None else {**both, "forecast_ridge": fitted}
