"""What forecasts read and are compared with, as tensors.

In training: ``forecast/context`` (batch, context) and ``forecast/ahead`` (batch, step), positions in the split, over as
many steps as the horizon or the last lead takes; ``forecast/learnt`` (batch, horizon), whether there is such a day and
the network learns from both ends; ``forecast/left_out`` (batch, step of the last lead), whether both ends are left out;
``forecast/draw`` (batch, horizon), which decides by the sample's key whether a step is taught; ``forecast/day_of_year``
of all of these steps; and, where the loss is one of fields, ``forecast/target/V`` (batch, horizon, lon, lat).

In evaluation: ``context/V`` (batch, context, lon, lat) with ``context_day`` and ``context_day_of_year``
(batch, context); ``ahead/V`` (batch, lead, lon, lat) with ``has_ahead`` and ``ahead_day_of_year`` (batch, lead) and
``ahead_climatology/V``, for the leads of the protocol. Fields of days that do not exist are 0.
"""

import numpy as np
import torch

from thalweg.contract import Batch, Indices, Keys, SplitName
from trainables.geo_contrastive.data.draws import branch, stream, uniform
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.windows import left_out, num_steps, window


def training_batch(data: FieldData, knobs: ForecastKnobs, indices: Indices, keys: Keys) -> Batch:
    """Samples windows of the split ``train``."""
    last = num_steps(knobs.stride)
    steps = np.arange(1, max(knobs.horizon, last) + 1)
    found = window(
        index_of(data, "train"),
        indices,
        context=knobs.context,
        stride=knobs.stride,
        ahead=knobs.stride * steps,
    )
    ends, count = (indices[:, None], found.ahead), data.num_samples("train")
    issued, ahead = (left_out(each, count, knobs.stride) for each in ends)
    taught = branch(branch(keys, stream("teaching"))[:, None], steps[: knobs.horizon].astype(np.uint64))
    batch = {
        "forecast/context": torch.from_numpy(found.context),
        "forecast/ahead": torch.from_numpy(found.ahead),
        "forecast/learnt": torch.from_numpy((found.exists & ~issued & ~ahead)[:, : knobs.horizon]),
        "forecast/left_out": torch.from_numpy((found.exists & issued & ahead)[:, :last]),
        "forecast/draw": torch.from_numpy(uniform(taught).astype(np.float32)),
        "forecast/day_of_year": torch.from_numpy(data.day_of_year[data.days["train"].start + found.ahead]),
    }
    if knobs.loss == "field":
        positions = data.days["train"].start + found.ahead[:, : knobs.horizon]
        batch |= {f"forecast/target/{name}": _fields(data, name, positions) for name in data.variables}
    return batch


def evaluation_batch(data: FieldData, knobs: ForecastKnobs, split: SplitName, indices: Indices) -> Batch:
    """Samples the context of each day of a split, and the days that follow it."""
    days = data.days[split]
    found = window(
        index_of(data, split), indices, context=knobs.context, stride=knobs.stride, ahead=np.array(LEADS)
    )
    context, ahead = days.start + found.context, days.start + found.ahead
    exists = torch.from_numpy(found.exists)
    batch = {
        "context_day": torch.from_numpy(data.day[context]),
        "context_day_of_year": torch.from_numpy(data.day_of_year[context]),
        "ahead_day_of_year": torch.from_numpy(data.day_of_year[ahead]),
        "has_ahead": exists,
    }
    for name in data.variables:
        truth = _fields(data, name, ahead)
        usual = torch.from_numpy(data.climatology[name][data.day_of_year[ahead]])
        batch |= {
            f"context/{name}": _fields(data, name, context),
            f"ahead/{name}": truth * exists[:, :, None, None],
            f"ahead_climatology/{name}": usual * exists[:, :, None, None],
        }
    return batch


def _fields(data: FieldData, name: str, positions: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(data.fields[name][positions])
