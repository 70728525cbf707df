"""Batches: shapes, what they hold, and what they depend on."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from thalweg.hashing import splitmix64
from thalweg.stage_contract import JointLoss, Progress
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.sampling import evaluation_batch, training_batch
from trainables.geo_contrastive.knobs import PairKnobs, ViewKnobs
from trainables.geo_contrastive.representation.task import RepresentationTask

MakeFields = Callable[..., FieldData]
VIEWS = ViewKnobs(noise=0.1, noise_kind="matern", flip=0.3, cutout=0.2)
PAIRS = PairKnobs(soft_negatives=True, soft_gap=30)


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """Two grids with sea, and jumps in training and evaluation."""
    return make_fields(
        100,
        grids={"globe": (8, 4), "region": (5, 6)},
        projected=("region",),
        variables={"slp": "globe", "rain": "region", "t2m": "region"},
        jumps={30: 5, 70: 2},
        sea=0.2,
    )


def keys_of(count: int) -> np.ndarray:
    """Returns keys as the platform draws them."""
    return splitmix64(np.arange(count, dtype=np.uint64))


def test_a_training_batch_has_the_promised_names_and_shapes(data: FieldData) -> None:
    batch = training_batch(data, VIEWS, PAIRS, np.arange(6), keys_of(6), num_targets=3)
    shapes = {"slp": (8, 4), "rain": (5, 6), "t2m": (5, 6)}
    wanted: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "present": ((6, 5), torch.bool),
        "shown": ((6, 5, 3), torch.bool),
        **{name: ((6, 5), torch.int64) for name in ("role_day", "role_season")},
        **{name: ((6,), torch.int64) for name in ("delta", "day", "season", "year")},
    }
    for name, shape in shapes.items():
        wanted |= {
            f"view/{name}": ((6, 5, *shape), torch.float32),
            f"target/{name}": ((6, 3, *shape), torch.float32),
            f"valid/{name}": ((6, *shape), torch.bool),
            f"weight/{name}": ((6, *shape), torch.float32),
        }
    assert {name: (tuple(values.shape), values.dtype) for name, values in batch.items()} == wanted


def test_an_evaluation_batch_has_the_promised_names_and_shapes(data: FieldData) -> None:
    batch = evaluation_batch(data, "val", np.arange(4))
    fields = {"view": (4, 1), "target": (4, 1), **dict.fromkeys(("clean", "climatology", "yesterday"), (4,))}
    wanted = {f"{what}/rain": (*shape, 5, 6) for what, shape in fields.items()}
    assert {name: tuple(batch[name].shape) for name in wanted} == wanted
    assert batch["present"].tolist() == [[True]] * 4
    assert batch["has_yesterday"].tolist() == [False, True, True, True]


@pytest.mark.parametrize("views", [VIEWS, ViewKnobs(), ViewKnobs(noise=0.2)], ids=["all", "default", "white"])
def test_a_sample_depends_on_its_index_and_key_alone(make_fields: MakeFields, views: ViewKnobs) -> None:
    data = make_fields(120, grids={"g": (16, 8)}, variables=("u", "v"), sea=0.1)
    indices, keys = np.arange(0, 60, 5), keys_of(12)
    whole = training_batch(data, views, PAIRS, indices, keys, num_targets=3)
    for chosen in ([0], [11], [3, 4], [9, 2, 7, 5, 0]):
        part = training_batch(data, views, PAIRS, indices[chosen], keys[chosen], num_targets=3)
        assert part.keys() == whole.keys()
        for name, values in part.items():
            assert torch.equal(values, whole[name][chosen]), name
    other = training_batch(data, views, PAIRS, indices, splitmix64(keys))
    assert not torch.equal(other["view/u"], whole["view/u"])


def test_targets_are_the_true_fields_of_the_days_at_their_distance(data: FieldData) -> None:
    indices = np.arange(data.num_samples("train"))
    batch = training_batch(data, VIEWS.vary(flip=0.0), PAIRS, indices, keys_of(len(indices)), num_targets=3)
    positions = {int(day): position for position, day in enumerate(data.day)}
    for row, day in enumerate(batch["day"].tolist()):
        assert day == data.day[indices[row]]
        for role, sign in enumerate((0, 1, -1)):
            target = batch["target/rain"][row, role].numpy()
            if batch["present"][row, role]:
                found = positions[day + sign * int(batch["delta"][row])]
                assert found in data.days["train"]
                np.testing.assert_array_equal(target, data.fields["rain"][found])
            else:
                np.testing.assert_array_equal(target, data.fields["rain"][indices[row]])


def test_an_absent_role_is_another_view_of_the_anchor(data: FieldData) -> None:
    indices = np.array([0, 29, 30, 59])
    batch = training_batch(data, VIEWS, PAIRS, indices, keys_of(4))
    assert batch["present"][:, 1].tolist() == [True, False, True, False]
    assert batch["present"][:, 2].tolist() == [False, True, False, True]
    assert torch.equal(
        batch["role_day"][~batch["present"]], batch["day"][:, None].expand(4, 5)[~batch["present"]]
    )
    masked = ViewKnobs(crop=1.0, smooth=1, mode_drop=0.0)
    batch = training_batch(data, masked, PAIRS, indices, keys_of(4))
    for name in data.variables:
        absent = batch[f"view/{name}"][~batch["present"]]
        truth = torch.from_numpy(data.fields[name][indices])[:, None].expand(-1, 5, -1, -1)[~batch["present"]]
        assert torch.equal(absent[absent != 0], truth[absent != 0])
        assert (absent != 0).flatten(1).any(1).all()


@pytest.mark.parametrize("fusion", ["early", "average"])
def test_absent_roles_leave_the_statistics_of_a_batch_norm_as_they_are_of_days(
    make_fields: MakeFields, fusion: str
) -> None:
    """Where all days are the same, a record with jumps must give the statistics of one without them."""
    whole, torn = (make_fields(60, variables=("u", "z"), jumps=jumps) for jumps in ({}, {2: 5, 3: 4, 6: 4}))
    same = {name: np.ones((60, 1, 1), np.float32) * fields[:1] for name, fields in whole.fields.items()}
    config = PRESETS["tiny"].vary(
        data={"variables": ("u", "z")},
        encoder={"latent_dim": 8, "width": 4, "norm": "batch", "fusion": {"kind": fusion}},
    )
    statistics = []
    for data in (replace(whole, fields=same), replace(torn, fields=same)):
        task = RepresentationTask(config)
        torch.manual_seed(0)
        model = task.build(task.facts(data)).train()
        batch = task.training_batch(data, np.arange(8), keys_of(8))
        loss = task.stages()[0].loss
        assert isinstance(loss, JointLoss)
        loss.embed(model, batch, Progress(samples=0, total_samples=8, stage="", stage_ratio=0))
        statistics.append({name: values for name, values in model.named_buffers() if "running" in name})
    assert not batch["present"].all()
    assert any("projector" in name for name in statistics[0])
    assert any("encoder" in name for name in statistics[0])
    torch.testing.assert_close(*statistics)


def test_each_view_has_the_season_of_its_own_day(make_fields: MakeFields) -> None:
    data = make_fields(150)  # from 1 January: spring begins on day 59
    days = np.arange(90)
    batch = training_batch(data, VIEWS, PAIRS, days, keys_of(90))
    seasons = dict(zip(data.day.tolist(), data.season.tolist(), strict=True))
    of_days = [[seasons[day] for day in row] for row in batch["role_day"].tolist()]
    assert batch["role_season"].tolist() == of_days
    others = (batch["role_season"][:, 1:3] != batch["season"][:, None]) & batch["present"][:, 1:3]
    assert others.any()


def test_targets_are_mirrored_as_their_views_are(make_fields: MakeFields) -> None:
    data = make_fields(100, variables=("t2m", "z"))
    plain = ViewKnobs(mask_low=0.0, mask_high=0.5, mode_drop=0.0, crop=1.0, smooth=1)
    flipped, straight = (
        training_batch(data, plain.vary(flip=flip), PAIRS, np.arange(40), keys_of(40), num_targets=3)
        for flip in (0.5, 0.0)
    )
    for name in data.variables:
        view, target = flipped[f"view/{name}"][:, :3], flipped[f"target/{name}"]
        assert torch.equal(view[view != 0], target[view != 0])
        truth = straight[f"target/{name}"]
        mirrored = (target == truth.flip(2)).flatten(1).all(1)  # all roles of a day alike
        assert torch.equal(mirrored, ~(target == truth).flatten(1).all(1))
        assert 0.3 < mirrored.float().mean() < 0.7


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_targets_of_enlarged_parts_are_whole_fields(make_fields: MakeFields, flip: float) -> None:
    data = make_fields(100, grids={"g": (16, 8)}, variables=("t2m", "z"))
    parts = ViewKnobs(mask_low=0.0, mask_high=0.0, mode_drop=0.0, crop=0.5, smooth=1, flip=flip)
    some, every = (
        training_batch(data, views, PAIRS, np.arange(40), keys_of(40), num_targets=3)
        for views in (parts, parts.vary(crop=1.0))
    )
    for name in data.variables:
        # Without a crop or a mask a view shows all of its target, mirrored or not.
        assert torch.equal(every[f"view/{name}"][:, :3], every[f"target/{name}"])
        assert torch.equal(some[f"target/{name}"], every[f"target/{name}"])
        for view, target in zip(some[f"view/{name}"][:, 0], some[f"target/{name}"][:, 0], strict=True):
            assert torch.isin(view, target).all() and not torch.equal(view, target)
            assert not torch.isin(target, view).all()  # there is more to reconstruct than is seen


def test_a_batch_says_which_variables_a_view_shows(data: FieldData) -> None:
    batch = training_batch(
        data, ViewKnobs(mode_drop=0.6, mask_high=0.5, crop=1.0), PAIRS, np.arange(40), keys_of(40)
    )
    for number, name in enumerate(data.variables):
        seen = (batch[f"view/{name}"] != 0).flatten(2).any(2)
        assert torch.equal(batch["shown"][:, :, number], seen)
    assert 0.1 < 1 - batch["shown"].float().mean() < 0.3
    assert evaluation_batch(data, "val", np.arange(4))["shown"].all()


def test_the_days_season_and_year_are_those_of_the_anchor(data: FieldData) -> None:
    batch = evaluation_batch(data, "test", np.array([3, 1]))
    positions = data.days["test"].start + np.array([3, 1])
    for name in ("day", "season", "year"):
        np.testing.assert_array_equal(batch[name], getattr(data, name)[positions])


def test_sea_and_areas_come_with_each_sample(data: FieldData) -> None:
    batch = evaluation_batch(data, "val", np.arange(3))
    for name, variable in data.variables.items():
        for row in range(3):
            np.testing.assert_array_equal(batch[f"valid/{name}"][row], data.valid[name])
            np.testing.assert_array_equal(batch[f"weight/{name}"][row], data.grids[variable.grid].weights)


@pytest.mark.parametrize("split", ["train", "val"])
def test_no_view_reads_invalid_cells(data: FieldData, split: str) -> None:
    poisoned = replace(
        data,
        fields={
            name: np.where(data.valid[name], values, np.float32(1e6)) for name, values in data.fields.items()
        },
    )
    keys = keys_of(10)
    clean, changed = (
        training_batch(each, VIEWS, PAIRS, np.arange(10), keys)
        if split == "train"
        else evaluation_batch(each, "val", np.arange(10))
        for each in (data, poisoned)
    )
    for name in data.variables:
        assert torch.equal(clean[f"view/{name}"], changed[f"view/{name}"])
        assert not clean[f"view/{name}"][..., ~torch.from_numpy(data.valid[name])].any()


def test_evaluation_hides_seven_tenths_by_day_and_variable(make_fields: MakeFields) -> None:
    data = make_fields(400, grids={"g": (16, 8)}, variables=("u", "v"))
    batch = evaluation_batch(data, "val", np.arange(80))
    shown = {name: (batch[f"view/{name}"] != 0)[:, 0] for name in ("u", "v")}
    for name, visible in shown.items():
        assert visible.float().mean().item() == pytest.approx(0.3, abs=0.01)
        assert torch.equal(batch[f"view/{name}"][:, 0][visible], batch[f"clean/{name}"][visible])
    agreement = (shown["u"] & shown["v"]).float().mean().item()
    assert agreement == pytest.approx(0.09, abs=0.01)
    assert len({bytes(row.numpy().tobytes()) for row in shown["u"]}) == 80


def test_evaluation_depends_on_the_day_not_on_its_number_or_the_other_variables(
    make_fields: MakeFields,
) -> None:
    data = make_fields(100, variables=("u", "v"))
    alone = make_fields(100, variables=("u",))
    later = replace(data, days={**data.days, "val": range(data.days["val"].start + 3, data.days["val"].stop)})
    batch = evaluation_batch(data, "val", np.arange(3, 9))
    hidden = (batch["view/u"] == 0) & (batch["target/u"] != 0)
    for other in (
        evaluation_batch(alone, "val", np.arange(3, 9)),
        evaluation_batch(later, "val", np.arange(6)),
    ):
        np.testing.assert_array_equal((other["view/u"] == 0) & (other["target/u"] != 0), hidden)


def test_yesterday_is_the_day_before_of_the_same_split_and_segment(data: FieldData) -> None:
    indices = np.arange(data.num_samples("val"))
    batch = evaluation_batch(data, "val", indices)
    first = data.days["val"].start
    absent = [row for row in range(len(indices)) if not batch["has_yesterday"][row]]
    assert absent == [0, 70 - first]
    for row in indices:
        yesterday = batch["yesterday/slp"][row].numpy()
        if row in absent:
            assert not yesterday.any()
        else:
            np.testing.assert_array_equal(yesterday, data.fields["slp"][first + row - 1])
        np.testing.assert_array_equal(
            batch["climatology/slp"][row], data.climatology["slp"][data.day_of_year[first + row]]
        )


def test_without_pairs_a_sample_is_one_view(data: FieldData) -> None:
    batch = training_batch(data, VIEWS, None, np.arange(4), keys_of(4))
    with_pairs = training_batch(data, VIEWS, PAIRS, np.arange(4), keys_of(4))
    assert batch["present"].shape == (4, 1)
    assert torch.equal(batch["view/slp"][:, 0], with_pairs["view/slp"][:, 0])


def test_a_batch_may_be_changed_without_changing_the_data(data: FieldData) -> None:
    before = data.fields["slp"].copy()
    for batch in (
        training_batch(data, VIEWS, PAIRS, np.arange(4), keys_of(4)),
        evaluation_batch(data, "train", np.arange(4)),
    ):
        for name in ("view/slp", "target/slp"):
            batch[name].zero_()
    np.testing.assert_array_equal(data.fields["slp"], before)
