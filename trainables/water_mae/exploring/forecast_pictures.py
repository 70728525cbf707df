"""A picture of a model's forecasts: hydrographs of some catchments at each lead time, with thresholds of events."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from thalweg.wording import counted
from trainables.water_mae.data.transform import backward
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import metrics, protocol
from trainables.water_mae.forecast.forecast import LEAD_DAYS, Forecaster, known
from trainables.water_mae.knobs import Modality
from trainables.water_mae.model.batch import Batch

NUM_CATCHMENTS = 4
"""Catchments in the picture: those with floods in the split, from its highest peak above the threshold downwards."""
MAX_WINDOWS = 366
"""Windows in the picture, the first ones of the split."""

_PASS = 32
Fetch = Callable[[Int64[np.ndarray, " batch"]], Batch]
Series = dict[str, Float64[np.ndarray, "window lead patch member"]]


def draw_forecasts(model: Forecaster, data: WaterData, row: Modality, fetch: Fetch, folder: Path) -> None:
    """Writes ``forecasts.png``; nothing without observed flow on the days that are forecast.

    Args:
        model: The model.
        data: Opened data.
        row: The series that is forecast.
        fetch: Samples windows of the split ``val`` under the evaluation protocol.
        folder: Folder for the file.
    """
    series, days = _series(model, row, fetch, min(data.num_samples("val"), MAX_WINDOWS))
    highest = np.where(np.isnan(series["observed"]), -np.inf, series["observed"]).max((0, 1))
    threshold = _in_units(data, row, data.flow_events(row.name).flood)
    excess = np.nan_to_num(highest / threshold, nan=-np.inf).ravel()
    chosen = [place for place in np.argsort(-excess)[:NUM_CATCHMENTS] if np.isfinite(excess[place])]
    if not chosen:
        return
    figure = Figure(figsize=(11, 2.3 * len(chosen) + 0.9), layout="constrained")
    figure.suptitle(f"{row.name.replace('_', ' ')} ({row.unit}) and its forecasts on the split val")
    for axes, place in zip(figure.subplots(len(chosen), 1, squeeze=False)[:, 0], chosen, strict=True):
        where = divmod(int(place), threshold.shape[1])
        _hydrograph(axes, days, {name: each[:, :, where[0], where[1]] for name, each in series.items()})
        events = data.flow_events(row.name)
        for name, level, style in (
            ("Q2: floods above", events.flood, "--"),
            ("Q95: low flows below", events.low, ":"),
        ):
            value = float(_in_units(data, row, level)[where])
            axes.axhline(value, color="0.5", linewidth=0.9, linestyle=style, label=name)
        axes.set(
            yscale="log" if row.transform == "log" else "linear",
            ylabel=f"catchment {data.catchments[int(place)]}",
        )
    figure.axes[0].legend(ncols=6, fontsize=8, loc="upper left", bbox_to_anchor=(0, 1.25), frameon=False)
    figure.savefig(folder / "forecasts.png", dpi=110)


def _series(
    model: Forecaster, row: Modality, fetch: Fetch, count: int
) -> tuple[Series, Int64[np.ndarray, "window lead"]]:
    """Returns observed and forecast values in the unit of the data, NaN for days that do not count, and the days."""
    parts: dict[str, list[torch.Tensor]] = {"observed": [], "forecast": [], "day": []}
    for first in range(0, count, _PASS):
        batch = fetch(np.arange(first, min(first + _PASS, count)))
        counts, scale = known(batch), batch[f"{row.name}{protocol.SCALE}"]
        with torch.no_grad():
            flows = {"observed": batch["forecast_target"], "forecast": model.forecast(batch)}
        for name, normalised in flows.items():
            parts[name].append(torch.where(counts, metrics.physical(normalised, scale, row), float("nan")))
        parts["day"].append(batch["forecast_day"])
    whole = {name: torch.cat(each).numpy() for name, each in parts.items()}
    days: Int64[np.ndarray, "window lead"] = whole.pop("day")
    return whole, days


def _in_units(data: WaterData, row: Modality, normalised: np.ndarray) -> Float64[np.ndarray, "patch member"]:
    number = data.modalities.index(row.name)
    return backward(row, normalised.astype(np.float64) * data.std[number] + data.mean[number])


def _hydrograph(
    axes: Axes, days: Int64[np.ndarray, "window lead"], series: dict[str, Float64[np.ndarray, "window lead"]]
) -> None:
    dates = days.astype("datetime64[D]")
    order = np.argsort(days[:, 0], kind="stable")
    known, first = np.unique(days[np.isfinite(series["observed"])], return_index=True)
    observed = series["observed"][np.isfinite(series["observed"])][first]
    axes.plot(known.astype("datetime64[D]"), observed, color="black", linewidth=1.2, label="observed")
    for number, lead in enumerate(LEAD_DAYS):
        label = f"{counted(lead, 'day')} ahead"
        axes.plot(dates[order, number], series["forecast"][order, number], linewidth=0.9, label=label)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
