"""Pictures of fields: there is one for each variable, and they show what the model gave."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from torch import Tensor, nn

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.contract import Batch
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.exploring import pictures
from trainables.geo_contrastive.representation.task import RepresentationTask

NAMES = ("t2m", "pr")


class Shifted(nn.Module):
    """Gives the true fields and a constant more."""

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {name: batch[f"clean/{name}"] + 0.5 for name in NAMES}


def test_panels_show_truth_mask_reconstruction_and_error_in_data_units(
    make_fields: MakeFields, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_fields(
        days=40,
        grids={"8x4": (8, 4), "5x6": (5, 6)},
        variables={"t2m": "8x4", "pr": "5x6"},
        projected=("5x6",),
        sea=0.3,
    )
    object.__setattr__(data.variables["pr"], "std", 4.0)
    object.__setattr__(data.variables["pr"], "mean", 100.0)
    seen = {}
    maps = pictures._maps

    def listen(rows: dict[str, tuple[np.ndarray, ...]], *others: object) -> object:
        seen[others[1].name] = rows  # type: ignore[attr-defined]
        return maps(rows, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(pictures, "_maps", listen)
    RepresentationTask(PRESETS["tiny"].vary(data={"variables": NAMES})).draw(Shifted(), data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"fields_t2m.png", "fields_pr.png"}
    assert imread(tmp_path / "fields_pr.png").std() > 0
    first = data.days["val"].start
    truth, masked, found, error = next(iter(seen["pr"].values()))
    valid = data.valid["pr"]
    np.testing.assert_allclose(truth[valid], 100 + 4 * data.fields["pr"][first][valid], rtol=1e-6)
    np.testing.assert_allclose(error[valid], 2.0, atol=1e-4)
    assert np.isnan(found[~valid]).all()
    assert 0 < np.isfinite(masked).sum() < valid.sum()
    np.testing.assert_allclose(masked[np.isfinite(masked)], truth[np.isfinite(masked)])
