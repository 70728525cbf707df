"""Pictures of samples: every variable in its unit, with the mean and the spread of its samples."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import image
from matplotlib.figure import Figure
from torch import Tensor

from thalweg.contract import Batch, Outputs
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.diffusion import samples
from trainables.geo_contrastive.diffusion.scores import ENSEMBLE
from trainables.geo_contrastive.diffusion.task import DiffusionTask
from trainables.geo_contrastive.evaluation.subset import SCORED

NAMES = ("u", "t2m")


@pytest.fixture(scope="module")
def data(make_fields: Callable[..., FieldData]) -> FieldData:
    """Days of two seasons on two grids, with sea, in units that are not their scores."""
    found = make_fields(
        500,
        grids={"8x4": (8, 4), "5x3": (5, 3)},
        variables={"u": "8x4", "t2m": "5x3"},
        projected=["5x3"],
        sea=0.3,
    )
    scaled = {
        name: replace(each, unit="m s-1" if name == "u" else "K", mean=5.0, std=4.0)
        for name, each in found.variables.items()
    }
    return replace(found, variables=scaled)


@pytest.fixture(scope="module")
def task() -> DiffusionTask:
    """The task of the tiny preset, for variables on two grids."""
    return DiffusionTask(
        PRESETS["tiny_diffusion"].vary(data={"variables": NAMES}, encoder={"fusion": {"kind": "average"}})
    )


@pytest.mark.slow
def test_samples_are_drawn_beside_reconstructions_and_latents(
    task: DiffusionTask, data: FieldData, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        task.draw(task.build(task.facts(data)).eval(), data, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "latents.png",
        *(f"{kind}_{name}.png" for kind in ("fields", "samples") for name in NAMES),
    }
    for name in NAMES:
        assert image.imread(tmp_path / f"samples_{name}.png")[..., :3].std() > 0.01


@pytest.mark.slow
def test_panels_hold_mean_members_and_spread_in_units(
    task: DiffusionTask, data: FieldData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifts = torch.tensor([-0.5, 0.25, 0.25])
    figures: dict[str, Figure] = {}
    draw = samples._draw

    def listen(*words: Any) -> Figure:
        figures[words[-1]] = draw(*words)
        return figures[words[-1]]

    def predict(batch: Batch) -> Outputs:
        assert bool(batch[SCORED].all())

        def members(name: str) -> Tensor:
            return batch[f"clean/{name}"][:, None] + shifts[:, None, None]

        return {f"{ENSEMBLE}{name}": members(name) for name in NAMES}

    monkeypatch.setattr(samples, "_draw", listen)
    samples.draw_samples(predict, data, lambda indices: task.evaluation_batch(data, "val", indices), tmp_path)
    assert list(figures) == list(NAMES)
    for name, figure in figures.items():
        valid, std = data.valid[name], data.variables[name].std
        truth, _, mean, one, other, spread = (
            np.ma.getdata(np.ma.asarray(place.collections[-1].get_array())).reshape(valid.T.shape).T[valid]
            for place in figure.axes[: len(samples.PANELS)]
        )
        np.testing.assert_allclose(mean, truth, atol=1e-4)
        np.testing.assert_allclose(one - truth, -0.5 * std, atol=1e-4)
        np.testing.assert_allclose(other - truth, 0.25 * std, atol=1e-4)
        np.testing.assert_allclose(spread, std * float(shifts.std()), rtol=1e-4)
        assert data.variables[name].unit in figure.get_suptitle()
