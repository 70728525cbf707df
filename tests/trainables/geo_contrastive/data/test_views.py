"""Views: what each augmentation does, that each knob is alive, and that nothing hidden leaks."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thalweg.config import idle_knobs
from thalweg.hashing import splitmix64
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.data.grids import Grid
from trainables.geo_contrastive.data.views import Views, augmented, draw_views, random_visible
from trainables.geo_contrastive.knobs import ViewKnobs

OFF = ViewKnobs(mask_low=0, mask_high=0, mode_drop=0, crop=1, smooth=1)
NAMES = ("t2m", "u", "z")
ROLES = ("anchor", "later", "earlier")
AUGMENTATIONS: dict[str, dict[str, float | str]] = {
    "mask": {"mask_low": 0.2, "mask_high": 0.9},
    "drop": {"mode_drop": 0.5},
    "crop": {"crop": 0.6},
    "smooth": {"smooth": 5},
    "white": {"noise": 0.5},
    "matern": {"noise": 0.5, "noise_kind": "matern"},
    "flip": {"flip": 0.5},
    "cutout": {"cutout": 0.5},
}


def globe(shape: tuple[int, int] = (12, 6)) -> Grid:
    """Returns a grid around the globe."""
    first = -180 + 360 * np.arange(shape[0]) / shape[0]
    return Grid("globe", first, -90 + 180 * (np.arange(shape[1]) + 0.5) / shape[1], True)


def region(shape: tuple[int, int] = (12, 6)) -> Grid:
    """Returns a grid in metres."""
    return Grid("region", 1000.0 * np.arange(shape[0]), 1000.0 * np.arange(shape[1]), False)


def drawn(knobs: ViewKnobs, samples: int = 40, names: tuple[str, ...] = NAMES) -> Views:
    """Draws three views of each sample."""
    return draw_views(knobs, names, ROLES, splitmix64(np.arange(samples, dtype=np.uint64)))


def days(grid: Grid, samples: int = 40, seed: int = 0) -> Tensor:
    """Returns the whole fields of three views of each sample."""
    return torch.from_numpy(
        np.random.default_rng(seed).standard_normal((3 * samples, *grid.shape)).astype(np.float32)
    )


def seen(
    knobs: ViewKnobs, grid: Grid, fields: Tensor, name: str = "t2m", valid: np.ndarray | None = None
) -> Tensor:
    """Returns the views of a variable."""
    views = drawn(knobs, len(fields) // 3)
    cells = np.ones(grid.shape, bool) if valid is None else valid
    return augmented(views, name, fields, cells, grid, views.enlarging(grid))


PAIRS_OF_AUGMENTATIONS = [
    *((name,) for name in AUGMENTATIONS),
    *(pair for pair in combinations(AUGMENTATIONS, 2) if set(pair) != {"white", "matern"}),
    tuple(name for name in AUGMENTATIONS if name != "white"),
]


@pytest.mark.parametrize("names", PAIRS_OF_AUGMENTATIONS, ids="-".join)
@pytest.mark.parametrize("grid", [globe(), region()], ids=lambda grid: grid.name)
def test_no_view_holds_anything_of_what_is_hidden(names: tuple[str, ...], grid: Grid) -> None:
    changes = {knob: value for name in names for knob, value in AUGMENTATIONS[name].items()}
    knobs = OFF.vary(**changes)
    valid = np.random.default_rng(1).random(grid.shape) < 0.7
    fields = days(grid)
    visible = torch.from_numpy(drawn(knobs).hide("t2m", valid, grid))
    assert not visible[:, torch.from_numpy(~valid)].any()
    poisoned = torch.where(visible, fields, -1e6 - 1e3 * fields)
    clean, changed = (seen(knobs, grid, each, valid=valid) for each in (fields, poisoned))
    assert torch.equal(clean, changed)
    assert torch.equal(torch.signbit(clean), torch.signbit(changed))
    assert (clean[:, torch.from_numpy(~valid)] == 0).all()
    assert clean.any()


@given(
    st.fixed_dictionaries(
        {
            "mask_high": st.floats(0, 0.99),
            "mode_drop": st.floats(0, 1),
            "crop": st.floats(0.1, 1),
            "smooth": st.sampled_from([1, 3, 5, 7]),
            "noise": st.sampled_from([0.0, 0.3]),
            "flip": st.floats(0, 0.5),
            "cutout": st.floats(0, 0.9),
        }
    ),
    st.tuples(st.integers(1, 9), st.integers(1, 7)),
    st.booleans(),
)
def test_nothing_leaks_whatever_the_knobs_and_the_shape(
    changes: dict[str, float], shape: tuple[int, int], wraps: bool
) -> None:
    knobs, grid = OFF.vary(**changes), (globe if wraps else region)(shape)
    fields, valid = days(grid, 4), np.random.default_rng(2).random(shape) < 0.8
    visible = torch.from_numpy(drawn(knobs, 4).hide("u", valid, grid))
    views = seen(knobs, grid, fields, "u", valid)
    assert views.isfinite().all()
    assert torch.equal(views, seen(knobs, grid, fields.masked_fill(~visible, 1e6), "u", valid))


def test_a_mask_hides_cells_and_changes_no_other() -> None:
    grid, fields = globe(), days(globe())
    knobs = OFF.vary(mask_low=0.5, mask_high=0.5)
    visible = torch.from_numpy(drawn(knobs).hide("t2m", np.ones(grid.shape, bool), grid))
    views = seen(knobs, grid, fields)
    assert torch.equal(views[visible], fields[visible])
    assert not views[~visible].any()


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.7), (0.0, 0.0), (0.2, 0.9), (0.99, 0.99)])
def test_each_view_and_variable_hides_a_share_of_its_own(low: float, high: float) -> None:
    grid = globe((40, 40))
    views = drawn(OFF.vary(mask_low=low, mask_high=high), 100)
    hidden = {name: 1 - views.hide(name, np.ones((40, 40), bool), grid).mean(axis=(1, 2)) for name in NAMES}
    shares = np.array(list(hidden.values()))
    assert shares.min() >= low - 0.06
    assert shares.max() <= high + 0.06
    assert shares.mean() == pytest.approx((low + high) / 2, abs=0.02)
    if high > low:
        assert shares.std() == pytest.approx((high - low) / 12**0.5, rel=0.1)
        off_diagonal = np.corrcoef(np.concatenate([shares.reshape(9, -1)])) - np.eye(9)
        assert np.abs(off_diagonal).max() < 0.4


def test_cells_are_hidden_independently() -> None:
    keys = splitmix64(np.arange(20000, dtype=np.uint64))
    visible = random_visible(keys, np.full(20000, 0.3), (4, 3)).reshape(20000, -1)
    np.testing.assert_allclose(visible.mean(axis=0), 0.7, atol=0.02)
    assert np.abs(np.corrcoef(visible.T.astype(float)) - np.eye(12)).max() < 0.04


def test_a_dropped_variable_is_hidden_whole_and_another_one_in_each_view() -> None:
    views = drawn(OFF.vary(mode_drop=1.0), 60)
    dropped = np.stack([views.dropped[name] for name in NAMES]).reshape(3, 60, 3)
    assert (dropped.sum(axis=0) == 1).all()
    assert (dropped.sum(axis=2) == 1).all()
    np.testing.assert_allclose(dropped.mean(axis=(1, 2)), 1 / 3, atol=0.02)
    assert (dropped[:, :, 0].mean(axis=1) > 0.15).all()
    grid = globe()
    hidden = torch.from_numpy(views.dropped["t2m"])
    fields = days(grid, 60)
    found = seen(OFF.vary(mode_drop=1.0), grid, fields)
    assert not found[hidden].any()
    assert torch.equal(found[~hidden], fields[~hidden])


def test_views_drop_with_their_probability() -> None:
    views = drawn(OFF.vary(mode_drop=0.2), 2000)
    any_dropped = np.stack([views.dropped[name] for name in NAMES]).any(axis=0)
    assert any_dropped.mean() == pytest.approx(0.2, abs=0.02)


def test_the_only_variable_is_never_dropped() -> None:
    assert not drawn(OFF.vary(mode_drop=1.0), names=("z",)).dropped["z"].any()
    assert "views.mode_drop" in idle_knobs(GeoContrastive().vary(data={"variables": ("z",)}))
    assert "views.mode_drop" not in idle_knobs(GeoContrastive())


def test_more_views_than_variables_repeat_what_is_dropped() -> None:
    keys = splitmix64(np.arange(10, dtype=np.uint64))
    views = draw_views(OFF.vary(mode_drop=1.0), ("u", "v"), (*ROLES, "hard", "soft"), keys)
    assert (views.dropped["u"] ^ views.dropped["v"]).all()


@pytest.mark.parametrize("smooth", [3, 5, 7])
def test_smoothing_is_the_mean_of_visible_cells_around(smooth: int) -> None:
    grid, fields, half = globe((8, 5)), days(globe((8, 5)), 2), smooth // 2
    knobs = OFF.vary(mask_low=0.6, mask_high=0.6, smooth=smooth)
    visible = drawn(knobs, 2).hide("t2m", np.ones((8, 5), bool), grid)
    views = seen(knobs, grid, fields).numpy()
    for view, column, row in np.ndindex(views.shape):
        if not visible[view, column, row]:
            assert views[view, column, row] == 0
            continue
        around = {
            ((column + right) % 8, row + up)
            for right in range(-half, half + 1)
            for up in range(-half, half + 1)
            if 0 <= row + up < 5
        }
        near = [float(fields[view, a, b]) for a, b in around if visible[view, a, b]]
        assert views[view, column, row] == pytest.approx(np.mean(near), abs=1e-5)


def test_a_crop_shows_between_its_smallest_share_and_all_of_an_axis() -> None:
    views = drawn(OFF.vary(crop=0.6), 500)
    for window in (views.first, views.second):
        assert 0.6 < window.size.min() < 0.62
        assert 0.98 < window.size.max() <= 1
        assert window.place.min() < 0.02
    assert abs(np.corrcoef(views.first.size, views.second.size)[0, 1]) < 0.1


def test_a_crop_enlarges_the_same_window_of_all_variables() -> None:
    grid = globe((24, 12))
    ramp = torch.linspace(-1, 1, 12).expand(24, 12).expand(30, 24, 12).contiguous()
    first, second = (seen(OFF.vary(crop=0.5), grid, ramp, name) for name in ("u", "z"))
    assert torch.equal(first, second)
    extent = first[:, 0, -1] - first[:, 0, 0]
    sizes = torch.from_numpy(drawn(OFF.vary(crop=0.5), 10).second.size).float()
    # Each end is at most half a cell, an eleventh of the ramp's half, off.
    torch.testing.assert_close(extent, 2 * sizes, atol=2 / 11, rtol=0)
    assert abs((extent - 2 * sizes).mean().item()) < 0.1


def test_a_crop_keeps_the_share_of_hidden_cells() -> None:
    grid = globe((24, 12))
    found = seen(OFF.vary(mask_low=0.7, mask_high=0.7, crop=0.7), grid, days(grid, 30))
    assert (found != 0).float().mean().item() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("kind", ["white", "matern"])
def test_noise_of_its_size_falls_on_visible_cells(kind: str) -> None:
    grid, fields = globe(), days(globe())
    masked = OFF.vary(mask_low=0.5, mask_high=0.5)
    quiet, loud = (seen(masked.vary(noise=noise, noise_kind=kind), grid, fields) for noise in (0.0, 0.4))
    difference = loud - quiet
    assert not difference[quiet == 0].any()
    assert difference[quiet != 0].std().item() == pytest.approx(0.4, rel=0.06)


def test_matern_noise_is_smooth_and_white_noise_is_not() -> None:
    grid, fields = globe(), torch.zeros(120, 12, 6)
    for kind, wanted in (("white", 0.0), ("matern", 0.885)):
        noise = seen(OFF.vary(noise=1.0, noise_kind=kind), grid, fields)
        neighbours = (noise * noise.roll(1, 1)).mean() / noise.square().mean()
        assert neighbours.item() == pytest.approx(wanted, abs=0.05)


def test_variables_and_views_have_noise_of_their_own() -> None:
    grid, fields = globe(), torch.zeros(120, 12, 6)
    first, second = (seen(OFF.vary(noise=1.0), grid, fields, name).reshape(-1) for name in ("u", "z"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    assert (
        abs(np.corrcoef(first.view(120, -1)[0::3].reshape(-1), first.view(120, -1)[1::3].reshape(-1))[0, 1])
        < 0.06
    )


def test_a_flip_mirrors_longitude_with_its_probability() -> None:
    grid, fields = globe(), days(globe(), 300)
    found = seen(OFF.vary(flip=0.3), grid, fields)
    mirrored = (found == fields.flip(1)).all(dim=2).all(dim=1)
    same = (found == fields).all(dim=2).all(dim=1)
    assert (mirrored ^ same).all()
    assert mirrored.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert (mirrored.view(300, 3) == mirrored.view(300, 3)[:, :1]).all()  # the views of a day alike
    assert torch.equal(drawn(OFF.vary(flip=0.3), 300).mirrored(fields), found)


@pytest.mark.parametrize("grid", [globe((40, 20)), region((40, 20))], ids=lambda grid: grid.name)
def test_a_cutout_hides_one_rectangle_of_all_variables(grid: Grid) -> None:
    views = drawn(OFF.vary(cutout=0.3), 60)
    hidden = {name: np.invert(views.hide(name, np.ones(grid.shape, bool), grid)) for name in NAMES}
    np.testing.assert_array_equal(hidden["t2m"], hidden["z"])
    columns, rows = (np.logical_or.reduce(hidden["u"], axis=axis) for axis in (2, 1))
    np.testing.assert_array_equal(hidden["u"], columns[:, :, None] & rows[:, None, :])
    np.testing.assert_allclose(columns.sum(axis=1), 12, atol=1)
    np.testing.assert_allclose(rows.sum(axis=1), 6, atol=1)
    around = columns[:, 0] & columns[:, -1]
    assert around.any() == grid.wraps
    edges = np.abs(np.diff(columns.astype(int), axis=1)).sum(axis=1) + (columns[:, 0] ^ columns[:, -1])
    assert (edges == 2).all()


ALIVE = {
    "mask_low": (OFF.vary(mask_high=0.9), OFF.vary(mask_low=0.4, mask_high=0.9)),
    "mask_high": (OFF, OFF.vary(mask_high=0.5)),
    "mode_drop": (OFF, OFF.vary(mode_drop=0.3)),
    "crop": (OFF, OFF.vary(crop=0.8)),
    "smooth": (OFF.vary(smooth=3), OFF.vary(smooth=5)),
    "noise": (OFF, OFF.vary(noise=0.1)),
    "noise_kind": (OFF.vary(noise=0.1), OFF.vary(noise=0.1, noise_kind="matern")),
    "flip": (OFF, OFF.vary(flip=0.4)),
    "cutout": (OFF, OFF.vary(cutout=0.4)),
}


def test_every_knob_is_tried() -> None:
    assert ALIVE.keys() == ViewKnobs.model_fields.keys()


@pytest.mark.parametrize("knob", ALIVE)
def test_every_knob_changes_views(knob: str) -> None:
    one, other = ALIVE[knob]
    changed = {name for name in ViewKnobs.model_fields if getattr(one, name) != getattr(other, name)}
    assert changed == {knob}
    assert not torch.equal(seen(one, globe(), days(globe())), seen(other, globe(), days(globe())))
