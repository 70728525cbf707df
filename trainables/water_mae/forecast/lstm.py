"""A long short-term memory network of all catchments: the baseline of the field, on what the autoencoder sees.

Source: Kratzert et al. (2019), doi:10.5194/hess-23-5089-2019: one LSTM for all catchments, to whose inputs of each day
the static attributes of the catchment are appended, trained on NSE*, the squared error of discharge in mm/day over the
square of the catchment's standard deviation plus 0.1. Differences, for the task is to forecast: the inputs end on the
day of issue and include the flow known then, from which the network predicts the change of normalised log flow; it is
small, sees no more days than a window holds, and takes a bounded number of steps. The data have no outlines of
catchments, so the weather of one is that of the land patch whose rain goes best with the rise of its flow in training.
Any other series than flow is forecast alike, from all fields and series that there are.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.forecast.forecast import (
    LEAD_DAYS,
    Forecast,
    ForecastOnly,
    known,
    known_patch_means,
    known_vectors,
    last_flow,
    targets,
)
from trainables.water_mae.knobs import PLAUSIBLE, ModalitySet
from trainables.water_mae.model.batch import Batch

HIDDEN = 64
MAX_STEPS, MAX_EPOCHS = 400, 10
BATCH_SIZE, LR, CLIP_NORM = 256, 2e-3, 1.0
MAX_WINDOWS = 1024
"""Windows of the training split, evenly spread over it, that the network is trained on."""
EPSILON, EPSILON_SHARE = 0.1, 0.1
"""Added to a catchment's standard deviation, so that dry ones do not outweigh all others: in mm/day as published, and
in any other unit as a share of the median over catchments."""

_SEED = 20_190_818
_FORGET_BIAS = 3.0  # the memory is kept at first
_PASS = 32  # windows
_MM_PER_DAY = PLAUSIBLE["river_flow"][0]


class CatchmentLSTM(ForecastOnly):
    """Forecasts one series only. A new network repeats the last day, like persistence.

    Args:
        modalities: The modalities.
        ahead: Name of the series.
        static: Attributes of each catchment.
        patches: Land patch whose weather each catchment has.
    """

    def __init__(
        self,
        modalities: ModalitySet,
        ahead: str,
        static: Float[Tensor, "patch member attribute"],
        patches: Int64[Tensor, "patch member"],
    ) -> None:
        super().__init__()
        self.ahead = modalities.places[ahead].position
        num_inputs = len(modalities) + static.shape[-1]
        self.lstm = nn.LSTM(num_inputs, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, len(LEAD_DAYS))
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        with torch.no_grad():  # gates are in the order input, forget, cell, output
            self.lstm.get_parameter("bias_ih_l0")[HIDDEN : 2 * HIDDEN] = _FORGET_BIAS
        self.register_buffer("static", static, persistent=False)
        self.register_buffer("patches", patches, persistent=False)
        self.static: Tensor
        self.patches: Tensor

    def forecast(self, batch: Batch) -> Forecast:
        """Forecasts normalised values; takes the same batch as the model."""
        weather, series = known_patch_means(batch), known_vectors(batch)
        size, catchments = len(series), self.patches.numel()
        windows = torch.arange(size, device=series.device).repeat_interleave(catchments)
        places = torch.arange(catchments, device=series.device).repeat(size)
        change = self.change(weather, series.flatten(3), windows, places)
        return last_flow(batch, self.ahead) + change.reshape(size, *self.patches.shape, -1).permute(
            0, 3, 1, 2
        )

    def change(
        self,
        weather: Float[Tensor, "window field step land_patch"],
        series: Float[Tensor, "window series step catchment"],
        windows: Int64[Tensor, " row"],
        places: Int64[Tensor, " row"],
    ) -> Float[Tensor, "row lead"]:
        """Returns the change of the normalised value since the last day of some windows at some catchments."""
        inputs = [weather[windows, :, :, self.patches.flatten()[places]]] if weather.shape[1] else []
        days = torch.cat([*inputs, series[windows, :, :, places]], dim=1).mT  # (row, step, input)
        static = self.static.flatten(0, 1)[places][:, None].expand(-1, days.shape[1], -1)
        hidden, _ = self.lstm(torch.cat([days, static], dim=2))
        change: Tensor = self.head(hidden[:, -1])
        return change


@dataclass(frozen=True)
class Windows:
    """Training windows of all catchments, without the cells of land patches.

    Attributes:
        weather: Means of the fields over land patches.
        series: All series.
        last: Normalised value from which forecasts start.
        target: Normalised values of the days to come.
        counts: Mask of the targets that are data.
    """

    weather: Float[Tensor, "window field step land_patch"]
    series: Float[Tensor, "window series step catchment"]
    last: Float[Tensor, "window catchment"]
    target: Float[Tensor, "window lead catchment"]
    counts: Bool[Tensor, "window lead catchment"]


def fit(data: WaterData, ahead: str) -> CatchmentLSTM:
    """Trains the network on windows of the training split; the same data give the same network.

    Args:
        data: The data set.
        ahead: Name of the series that is forecast.
    """
    windows = training_windows(data, ahead)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(_SEED)
        static, patches = torch.tensor(data.geometry.static), local_patches(data, windows)
        network = CatchmentLSTM(data.modalities, ahead, static, patches)
        _train(network, windows, data, ahead)
    return network.requires_grad_(False).eval()


def training_windows(data: WaterData, ahead: str) -> Windows:
    """Reads windows of the training split as the model sees them, with missing values carried forward.

    Args:
        data: The data set.
        ahead: Name of the series that is forecast.
    """
    place = data.modalities.places[ahead].position
    # sampled on the CPU, where the network is trained, also if the days are on a GPU
    part = replace(data, resident=None).with_training_windows(MAX_WINDOWS)
    parts = []
    for first in range(0, part.num_samples("train"), _PASS):
        indices = np.arange(first, min(first + _PASS, part.num_samples("train")))
        batch = part.tensors("train", indices) | targets(part, "train", indices, place)
        parts.append(
            (
                known_patch_means(batch),
                known_vectors(batch).flatten(3),
                last_flow(batch, place)[:, 0].flatten(1),
                batch["forecast_target"].flatten(2),
                known(batch).flatten(2),
            )
        )
    return Windows(*map(torch.cat, zip(*parts, strict=True)))


def local_patches(data: WaterData, windows: Windows) -> Int64[Tensor, "patch member"]:
    """Returns the land patch whose rain of the last day correlates best with the rise of each catchment's flow.

    Rain is any field of amounts; without one, all fields count; without fields there is no weather to be taken.
    """
    fields = data.modalities.fields
    amounts = [number for number, name in enumerate(fields) if data.modalities[name].is_flux]
    counts = windows.counts[:, 0].double()
    rise = torch.where(windows.counts[:, 0], windows.target[:, 0] - windows.last, 0.0).double()
    rise = rise - counts * (rise.sum(0) / counts.sum(0).clamp(min=1))
    found = []
    for number in amounts or range(len(fields)):
        rain = windows.weather[:, number, -1].double()
        mean = counts.T @ rain / counts.sum(0).clamp(min=1)[:, None]
        spread = counts.T @ rain.square() - counts.sum(0)[:, None] * mean.square()
        covariance = rise.T @ rain - rise.sum(0)[:, None] * mean
        found.append(covariance / spread.clamp(min=1e-9).sqrt())
    shape = data.geometry.member_valid.shape
    return (
        torch.stack(found).amax(0).argmax(1).reshape(shape)
        if found
        else torch.zeros(shape, dtype=torch.int64)
    )


def epsilon(data: WaterData, ahead: str) -> float:
    """Returns what NSE* adds to the standard deviations of a series, in its unit; see `EPSILON`."""
    if _MM_PER_DAY.is_called(data.units[data.modalities.index(ahead)]):
        return EPSILON
    std = data.flow_events(ahead).std
    known = std[std > 0]
    return EPSILON_SHARE * float(np.median(known)) if len(known) else EPSILON


def nse_star(
    flow: Float64[Tensor, "row lead"],
    target: Float64[Tensor, "row lead"],
    counts: Bool[Tensor, "row lead"],
    std: Float64[Tensor, " row"],
) -> Float64[Tensor, ""]:
    """Returns NSE*, the mean over rows and leads of ((flow - target) / std)^2.

    Args:
        flow: Predicted flow.
        target: Observed flow.
        counts: Mask of the targets that are data.
        std: Standard deviation of the catchment's flow in the training split plus `epsilon`, in the same unit.
    """
    errors = torch.where(counts, flow - target, 0.0) / std[:, None]
    return errors.square().sum() / counts.sum().clamp(min=1)


def _train(network: CatchmentLSTM, windows: Windows, data: WaterData, ahead: str) -> None:
    rows = windows.counts.any(1).nonzero()
    if not len(rows):
        return
    generator = torch.Generator().manual_seed(_SEED)
    std = torch.from_numpy(data.flow_events(ahead).std).flatten() + epsilon(data, ahead)
    row, number = data.modalities[ahead], data.modalities.index(ahead)
    scale = torch.tensor([[data.mean[number], data.std[number]]], dtype=torch.float64).expand(BATCH_SIZE, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=LR)
    num_steps = min(MAX_STEPS, -(-MAX_EPOCHS * len(rows) // BATCH_SIZE))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for _ in range(num_steps):
        window, place = rows[torch.randint(len(rows), (BATCH_SIZE,), generator=generator)].unbind(1)
        change = network.change(windows.weather, windows.series, window, place)
        given = metrics.physical(windows.last[window, place][:, None] + change, scale, row)
        seen = metrics.physical(windows.target[window, :, place], scale, row)
        loss = nse_star(given, seen, windows.counts[window, :, place], std[place])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        schedule.step()
