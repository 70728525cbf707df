import numpy as np
import pytest
import torch

from trainables.sentinel_supcon.data.augment import draw_corners
from trainables.sentinel_supcon.data.batches import evaluation_batch, training_batch
from trainables.sentinel_supcon.data.labels import classes_of_maps
from trainables.sentinel_supcon.data.loading import by_maximum
from trainables.sentinel_supcon.data.scenes import PatchData
from trainables.sentinel_supcon.knobs import DataKnobs, ViewKnobs

INDICES = np.array([5, 0, 9, 2])
KEYS = np.array([11, 22, 33, 44], np.uint64)
LAND = DataKnobs(size=16)


@pytest.mark.slow
def test_training_batches_have_two_views_of_both_sensors(land: PatchData) -> None:
    batch = training_batch(land, INDICES, KEYS, LAND, ViewKnobs(), "both")
    assert batch["s1"].shape == (4, 2, 2, 16, 16) and batch["s2"].shape == (4, 2, 13, 16, 16)
    assert batch["s1"].dtype == batch["s2"].dtype == batch["multi"].dtype == torch.float32
    assert batch["label"].shape == (4,) and batch["label"].dtype == torch.int64
    assert batch["multi"].shape == (4, 8)


def test_the_second_view_is_the_window_standardised_by_the_training_split(land: PatchData) -> None:
    batch = training_batch(land, INDICES, KEYS, LAND, ViewKnobs(), "both")
    rows = land.rows["train"][INDICES]
    for sample, (row, (top, left)) in enumerate(zip(rows, draw_corners(KEYS, 20, 16), strict=True)):
        s1 = land.s1[row, :, top : top + 16, left : left + 16]
        s2 = land.s2[row, :, top : top + 16, left : left + 16] / 10_000
        for name, image, part in (("s1", s1, slice(0, 2)), ("s2", s2, slice(2, None))):
            expected = (image - land.mean[part, None, None]) / land.std[part, None, None]
            np.testing.assert_allclose(batch[name][sample, 1], expected, atol=2e-4)
    assert not torch.allclose(batch["s1"][:, 0], batch["s1"][:, 1])


def test_one_view_alone_is_one_of_both(land: PatchData) -> None:
    knobs = ViewKnobs(rotation=20)
    both = training_batch(land, INDICES, KEYS, LAND, knobs, "both")
    for shown, number in (("augmented", 0), ("original", 1)):
        batch = training_batch(land, INDICES, KEYS, LAND, knobs, shown)  # type: ignore[arg-type]
        assert torch.equal(batch["s2"], both["s2"][:, [number]])
    plain = training_batch(land, INDICES, KEYS, LAND, ViewKnobs(augment=False), "both")
    assert torch.equal(plain["s1"], both["s1"][:, [1]])


def test_a_sensor_alone_sees_what_it_sees_beside_the_other(land: PatchData) -> None:
    views = ViewKnobs(rotation=20, paired_geometry=False)
    both = training_batch(land, INDICES, KEYS, LAND, views, "both")
    for name, other in (("s1", "s2"), ("s2", "s1")):
        alone = training_batch(land, INDICES, KEYS, LAND, views, "both", (name,))
        assert torch.equal(alone[name], both[name]) and other not in alone


def test_labels_in_training_are_those_of_the_window(land: PatchData) -> None:
    count = land.num_samples("train")
    keys = np.arange(count, dtype=np.uint64)
    batch = training_batch(land, np.arange(count), keys, LAND, ViewKnobs(), "both")
    rows = land.rows["train"]
    cut = np.stack(
        [
            land.maps[row, top : top + 16, left : left + 16]
            for row, (top, left) in zip(rows, draw_corners(keys, 20, 16), strict=True)
        ]
    )
    labels, multi = classes_of_maps(cut, 8)
    assert batch["label"].tolist() == labels.tolist()
    np.testing.assert_array_equal(batch["multi"], multi)
    assert (multi != land.multi[rows]).any()


def test_evaluations_show_the_middle_and_label_the_whole_scene(land: PatchData) -> None:
    indices = np.arange(land.num_samples("val"))
    rows = land.rows["val"]
    small, large = (evaluation_batch(land, "val", indices, LAND.vary(size=size)) for size in (16, 20))
    assert torch.equal(small["s1"], large["s1"][..., 2:18, 2:18])
    assert small["s2"].shape == (len(rows), 1, 13, 16, 16)
    for batch in (small, large):
        assert batch["label"].tolist() == land.labels[rows].tolist()
        assert batch["place"].tolist() == land.places[rows].tolist()
        np.testing.assert_array_equal(batch["multi"], land.multi[rows])


def test_a_scene_is_the_same_in_any_batch(facilities: PatchData) -> None:
    inputs, views = DataKnobs(optical="rgbn", size=16), ViewKnobs(rotation=40, paired_geometry=False)
    whole = training_batch(facilities, INDICES, KEYS, inputs, views, "both")
    part = training_batch(facilities, INDICES[[2, 0]], KEYS[[2, 0]], inputs, views, "both")
    for name, values in part.items():
        assert torch.equal(values, whole[name][[2, 0]])


def test_chosen_bands_are_those_of_all(land: PatchData) -> None:
    import dataclasses

    chosen = dataclasses.replace(
        land,
        columns=np.array([3, 2, 1, 7]),
        mean=land.mean[[0, 1, 5, 4, 3, 9]],
        std=land.std[[0, 1, 5, 4, 3, 9]],
    )
    every = evaluation_batch(land, "val", np.arange(3), LAND)["s2"]
    assert torch.equal(evaluation_batch(chosen, "val", np.arange(3), LAND)["s2"], every[:, :, [3, 2, 1, 7]])


@pytest.mark.parametrize("decibels", [True, False])
def test_scaling_by_the_maximum_is_the_published_one(decibels: bool) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(-12, 8, (3, 2, 4, 4)) if decibels else rng.uniform(-5, 12_000, (3, 2, 4, 4))
    scaled = by_maximum(torch.from_numpy(images).float(), decibels=decibels)
    for image, result in zip(images, scaled, strict=True):
        for band, found in zip(image, result, strict=True):
            clipped = np.clip(band, -25, 0) + 25 if decibels else np.clip(band, 0, 10_000)
            np.testing.assert_allclose(found, clipped / (clipped.max() + 1e-5), rtol=1e-5)


def test_scaling_by_the_maximum_hides_how_bright_a_scene_is(land: PatchData) -> None:
    inputs = LAND.vary(scaling="image_max", size=20)
    batch = evaluation_batch(land, "val", np.arange(6), inputs)
    np.testing.assert_allclose(batch["s2"].amax((-1, -2)), 1, atol=1e-3)
