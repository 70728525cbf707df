"""The picture of forecasts shows what was observed and forecast, on the days that were forecast."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from trainables.water_mae.config import PRESETS
from trainables.water_mae.forecast.forecast import ForecastingAutoencoder
from trainables.water_mae.task import WaterMAETask


def by_day(line: Line2D) -> dict[Any, float]:
    """Returns the values of a line by their days."""
    return dict(zip(np.asarray(line.get_xdata()), np.asarray(line.get_ydata()).tolist(), strict=True))


@pytest.mark.slow
def test_forecasts_are_drawn_on_their_days(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = WaterMAETask(PRESETS["tiny"].vary(forecast={"share": 0.5}, data={"evaluation_stride": 1}))
    tiny = task.open(tiny_root)
    model = task.build(task.facts(tiny)).eval().requires_grad_(False)  # repeats the last day
    assert isinstance(model, ForecastingAutoencoder)
    figures: list[Figure] = []
    save = Figure.savefig

    def kept(figure: Figure, *args: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    task.draw(model, tiny, tmp_path)
    assert {"forecasts.png", "hydrographs.png"} <= {path.name for path in tmp_path.iterdir()}
    assert np.asarray(Image.open(tmp_path / "forecasts.png").convert("L")).std() > 5
    for axes in figures[-1].axes:
        seen, one, three, week, *levels = axes.get_lines()
        assert len(levels) == 2
        flow = by_day(seen)
        for line, lead in ((one, 1), (three, 3), (week, 7)):
            shown = {day: value for day, value in by_day(line).items() if np.isfinite(value)}
            pairs = [
                (flow[day - np.timedelta64(lead, "D")], value)
                for day, value in shown.items()
                if day - np.timedelta64(lead, "D") in flow
            ]
            both = np.array([pair for pair in pairs if np.isfinite(pair[0])])
            assert len(both) > 20
            assert np.isclose(both[:, 0], both[:, 1], rtol=1e-3).mean() > 0.9  # but for gaps of the gauge


@pytest.mark.slow
def test_without_a_head_no_forecasts_are_drawn(tiny_root: Path, tmp_path: Path) -> None:
    task = WaterMAETask(PRESETS["tiny"])
    tiny = task.open(tiny_root)
    task.draw(task.build(task.facts(tiny)).eval().requires_grad_(False), tiny, tmp_path)
    assert not (tmp_path / "forecasts.png").exists()
