"""The picture of forecasts shows what was observed and forecast, on the days that were forecast."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float64
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from trainables.water_mae.config import PRESETS
from trainables.water_mae.exploring import pictures
from trainables.water_mae.task import WaterMAETask

FILE = "forecasts.png"


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved; those of reconstruction, which take seconds, are left out."""
    found: list[Figure] = []
    save = Figure.savefig

    def saved(figure: Figure, *args: Any, **knobs: Any) -> None:
        found.append(figure)
        save(figure, *args, **knobs)

    monkeypatch.setattr(Figure, "savefig", saved)
    monkeypatch.setattr(pictures, "draw_all", lambda *args: None)
    return found


def draw(root: Path, folder: Path, share: float) -> None:
    task = WaterMAETask(PRESETS["tiny"].vary(forecast={"share": share}, data={"evaluation_stride": 1}))
    data = task.open(root)
    torch.manual_seed(0)
    task.draw(task.build(task.facts(data)).eval().requires_grad_(False), data, folder)


def by_day(line: Line2D) -> dict[int, float]:
    days, values = (np.asarray(each) for each in (line.get_xdata(), line.get_ydata()))
    numbers = days.astype("datetime64[D]").astype(np.int64)
    return {int(day): float(value) for day, value in zip(numbers, values, strict=True) if np.isfinite(value)}


def at_once(flow: dict[int, float], forecast: dict[int, float], lead: int) -> Float64[np.ndarray, "day 2"]:
    """Flow on the day of issue, and the forecast."""
    return np.array([(flow[day - lead], value) for day, value in forecast.items() if day - lead in flow])


@pytest.mark.slow
def test_a_new_model_is_shown_to_be_late_by_the_lead_time(
    tiny_root: Path, tmp_path: Path, figures: list[Figure]
) -> None:
    draw(tiny_root, tmp_path, 0.5)
    assert np.asarray(Image.open(tmp_path / FILE).convert("L")).std() > 5
    assert len(figures[-1].axes) == 4
    for axes in figures[-1].axes:
        seen, *forecasts = axes.get_lines()[:4]
        assert len(axes.get_lines()) == 6  # with both thresholds
        for line, lead in zip(forecasts, (1, 3, 7), strict=True):
            both = at_once(by_day(seen), by_day(line), lead)
            assert len(both) > 250
            assert np.isclose(both[:, 0], both[:, 1], rtol=1e-3).mean() > 0.9  # the others have gaps


@pytest.mark.slow
def test_without_a_head_no_forecasts_are_drawn(tiny_root: Path, tmp_path: Path) -> None:
    draw(tiny_root, tmp_path, 0.0)
    assert not (tmp_path / FILE).exists()
