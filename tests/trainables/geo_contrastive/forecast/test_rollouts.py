"""Pictures of roll-outs: one for each variable, of the forecast and what came, in data units."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from tests.trainables.geo_contrastive.conftest import MakeFields
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.forecast import rollouts
from trainables.geo_contrastive.forecast.batches import evaluation_batch
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs


@pytest.mark.slow
def test_panels_show_what_came_the_forecast_and_the_error(
    make_fields: MakeFields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_fields(days=120, variables=("t2m",), sea=0.3, jumps={80: 2})
    object.__setattr__(data.variables["t2m"], "std", 4.0)
    object.__setattr__(data.variables["t2m"], "mean", 100.0)
    seen = {}
    rows = rollouts._rows

    def listen(panels: dict[str, np.ndarray], *others: object) -> object:
        seen.update(panels)
        return rows(panels, *others)  # type: ignore[arg-type]

    issued: list[int] = []

    def forecast(indices: np.ndarray) -> dict[str, torch.Tensor]:
        issued.extend(indices)
        batch = evaluation_batch(data, ForecastKnobs(), "val", indices)
        return batch | {"forecast/t2m": batch["ahead/t2m"] + 0.5}

    monkeypatch.setattr(rollouts, "_rows", listen)
    rollouts.draw_rollout(data, forecast, tmp_path)
    assert imread(tmp_path / "forecast_t2m.png").std() > 0
    valid, (index,) = data.valid["t2m"], issued
    positions = data.days["val"].start + index + np.array(LEADS)
    assert data.day[positions[-1]] - data.day[positions[0]] == LEADS[-1] - LEADS[0]
    truth = 100 + 4 * data.fields["t2m"][positions]
    np.testing.assert_allclose(seen["truth"][:, valid], truth[:, valid], rtol=1e-6)
    np.testing.assert_allclose(seen["error"][:, valid], 2.0, atol=1e-4)
    assert np.isnan(seen["forecast"][:, ~valid]).all()


def test_nothing_is_drawn_where_no_day_is_followed_by_all_leads(
    make_fields: MakeFields, tmp_path: Path
) -> None:
    data = make_fields(days=60, jumps=dict.fromkeys(range(4, 60, 8), 2))
    rollouts.draw_rollout(data, pytest.fail, tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
