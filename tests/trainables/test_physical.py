"""Families predict in physical units what their tasks predict from normalised batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thalweg.datasets.making import make_world
from thalweg.discovery import load_family
from thalweg.errors import DataError
from thalweg.inference import Exported, as_tensors
from trainables.water_mae.model.physical import Filler

pytestmark = pytest.mark.slow  # each makes a synthetic data set


class Found:
    """A family's model with random weights, its data, and the door to it.

    Attributes:
        task: The task.
        data: Its opened data.
        model: The model.
        exported: The same as an exported file holds it.
    """

    def __init__(self, family: str, root: Path, preset: str = "tiny", **knobs: Any) -> None:
        known = load_family(family)
        config = known.preset(preset).vary(**knobs)
        make_world(known, root, config.dataset)
        self.task: Any = known.task(config)
        self.data: Any = self.task.open(root)
        facts = as_tensors(self.task.facts(self.data))
        torch.manual_seed(0)
        self.model: Any = self.task.build(facts).eval()
        self.exported = Exported(model=self.model, task=self.task, facts=facts, content={"part": None})

    def batch(self) -> dict[str, torch.Tensor]:
        """Two samples of the evaluation."""
        found: dict[str, torch.Tensor] = self.task.evaluation_batch(self.data, "val", np.arange(2))
        return found

    def predict(self, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        """Predicts, and checks that what comes is what was announced."""
        outputs = self.exported.predict(inputs)
        given = self.exported.quantities[1]
        shapes = {each.name: (2, *each.shape) for each in given}
        assert {name: array.shape for name, array in outputs.items()} == shapes
        return dict(outputs)


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Found]:
    def make(family: str, **knobs: Any) -> Found:
        return Found(family, tmp_path, **knobs)

    return make


def _close(found: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.as_tensor(found).float(), expected.float(), rtol=1e-3, atol=1e-4)


def test_weather_fields_are_reconstructed_in_their_units(find: Callable[..., Found]) -> None:
    found = find("geo_contrastive", objective={"kind": "autoencoder"})
    batch, scales = found.batch(), found.data.variables
    with torch.inference_mode():
        latents = found.model.encode({name: batch[f"clean/{name}"] for name in scales})
        fields = found.model.decode(latents)
    inputs = {
        name: np.where(found.data.valid[name], batch[f"clean/{name}"] * each.std + each.mean, np.nan)
        for name, each in scales.items()
    }
    outputs = found.predict(inputs)
    _close(outputs["latents"], latents)
    for name, each in scales.items():
        _close((outputs[name] - each.mean) / each.std, fields[name])


@pytest.mark.parametrize("scaling", ["physical", "image_max"])
def test_scenes_are_classified_by_backscatter_and_reflectance(
    find: Callable[..., Found], scaling: str
) -> None:
    found = find("sentinel_supcon", data={"scaling": scaling})
    data, size = found.data, found.task.config.data.size
    rows, at = data.rows["val"][:2], (data.side - size) // 2
    if scaling == "image_max" and at:
        pytest.skip("maxima are those of whole scenes")
    window = slice(at, at + size)
    inputs = {
        "s1": np.asarray(data.s1[rows])[:, :, window, window],
        "s2": np.asarray(data.s2[rows])[:, data.columns][:, :, window, window] / 10_000,
    }
    with torch.inference_mode():
        expected = found.task.predict(found.model, found.batch())["logits"].softmax(1)
    _close(found.predict(inputs)["probability"], expected)


def test_spheres_are_told_by_image_and_distances(find: Callable[..., Found]) -> None:
    found = find("rgb_lidar")
    data, rows = found.data, found.data.rows["val"][:2]
    channels = found.task.config.data.rgb_channels
    inputs = {
        "rgb": data.rgb[rows, :channels],
        "depth": data.depth[rows],
        "azimuth": np.stack([data.azimuth] * 2),
        "zenith": np.stack([data.zenith] * 2),
    }
    with torch.inference_mode():
        expected = found.task.predict(found.model, found.batch())["odds"].sigmoid()
    _close(found.predict(inputs)["probability_of_spheres"], expected)


def test_a_chain_tells_spheres_by_the_image_alone(find: Callable[..., Found]) -> None:
    found = find("rgb_lidar", preset="tiny_chain")
    taken, given = found.exported.quantities
    assert [each.name for each in taken] == ["rgb"]
    assert [each.name for each in given] == ["probability_of_spheres"]
    rows, channels = found.data.rows["val"][:2], found.task.config.data.rgb_channels
    with torch.inference_mode():
        expected = found.task.predict(found.model, found.batch())["odds"].sigmoid()
    _close(found.predict({"rgb": found.data.rgb[rows, :channels]})["probability_of_spheres"], expected)


@pytest.mark.parametrize(
    ("stages", "names"),
    [
        (("cilp",), {"rgb_embedding", "lidar_embedding"}),
        (("classifier",), {"probability_of_spheres"}),
        (("cilp", "classifier"), {"rgb_embedding", "lidar_embedding", "probability_of_spheres"}),
    ],
)
def test_a_part_of_a_chain_gives_what_its_stages_trained(
    find: Callable[..., Found], stages: tuple[str, ...], names: set[str]
) -> None:
    found = find("rgb_lidar", preset="tiny_chain", model={"stages": stages})
    data, rows = found.data, found.data.rows["val"][:2]
    whole = {
        "rgb": data.rgb[rows, : found.task.config.data.rgb_channels],
        "depth": data.depth[rows],
        "azimuth": np.stack([data.azimuth] * 2),
        "zenith": np.stack([data.zenith] * 2),
    }
    taken = [each.name for each in found.exported.quantities[0]]
    assert ("rgb" in taken) == ("cilp" in stages)
    outputs = found.predict({name: whole[name] for name in taken})
    with torch.inference_mode():
        expected = found.model(found.batch())
    assert set(outputs) == names
    for name in names - {"probability_of_spheres"}:
        _close(outputs[name], expected[name])
        assert np.allclose(np.linalg.norm(outputs[name], axis=1), 1, atol=1e-4)
    if "classifier" in stages:
        _close(outputs["probability_of_spheres"], expected["lidar_odds"].sigmoid())


def test_gaps_of_rain_and_rivers_are_filled(find: Callable[..., Found]) -> None:
    found = find("water_mae")
    batch, filler = found.batch(), Filler.of(found.task.config, found.exported.facts)
    with torch.inference_mode():
        predicted = found.model(batch)
    inputs, gaps = {}, {}
    for name, (kind, index) in found.task.config.modality_set.places.items():
        scores, masked = (
            batch[f"{kind}s"][:, index].double().numpy(),
            batch[f"{kind}_masked"][:, index].numpy(),
        )
        hidden = np.zeros(scores.shape[:3], bool)
        np.put_along_axis(hidden, masked, True, axis=2)
        gaps[name] = masked
        scores = np.where(hidden[..., None], np.nan, scores)
        inputs[name] = np.stack([filler._unpatched(name, each) for each in scores])
    outputs = found.predict(inputs)
    for name, filled in outputs.items():
        known = ~np.isnan(inputs[name])
        assert np.array_equal(filled[known], inputs[name][known].astype(np.float32))
        scores = np.stack([filler._patches(name, each) for each in filled])
        kind = found.task.config.modality_set.places[name].kind
        geometry = filler._geometry
        valid = geometry.pixel_valid if kind == "image" else geometry.member_valid
        taken = np.take_along_axis(scores, gaps[name][..., None], axis=2)
        counts = torch.from_numpy(valid[gaps[name]])
        _close(torch.from_numpy(taken)[counts], predicted[name][counts])


def test_a_day_without_anything_is_refused_and_a_window_without_gaps_stays(
    find: Callable[..., Found],
) -> None:
    from thalweg.serving.quantities import zeros

    found = find("water_mae")
    inputs = zeros(found.exported.quantities[0])
    filled = found.exported.predict(inputs)
    assert all(np.array_equal(filled[name], array) for name, array in inputs.items() if name in filled)
    inputs["river_flow"][0, 3, 0] = np.nan  # in one kind alone
    filled = found.exported.predict(inputs)
    assert not any(np.isnan(array).any() for array in filled.values())
    inputs["river_flow"][1, 3] = np.nan
    with pytest.raises(DataError, match="got river_flow with gaps in all of them on day 3 of a window"):
        found.exported.predict(inputs)
