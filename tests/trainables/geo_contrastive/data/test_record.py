"""Knobs that ask for days which a record does not hold are refused before anything trains."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.contract import unmeasured
from thalweg.errors import ConfigError
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.record import leads_without_windows
from trainables.geo_contrastive.forecast.measure import ForecastSkill
from trainables.geo_contrastive.forecast.predict import FORECAST_FIELD
from trainables.geo_contrastive.task import task_for

ALONE = {position: 1 for position in range(1, 60)}


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    """60 training days of winter and spring in runs of 40 and 20, and 20 validation days."""
    return make_fields(100, jumps={40: 7})


def check(data: FieldData, preset: str = "tiny", **changes: Any) -> None:
    config = PRESETS[preset].vary(data={"variables": tuple(data.variables)}, **changes)
    task_for(config).check(data)


def test_what_the_record_holds_is_not_refused(data: FieldData) -> None:
    check(data, pairs={"max_delta": 30, "soft_negatives": True, "soft_gap": 66})
    check(data, objective={"kind": "supcon"})
    check(data, "tiny_forecast", downstream={"context": 5, "stride": 5, "horizon": 7})
    check(data, "tiny_seasons")


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        (
            {"pairs": {"soft_negatives": True, "soft_gap": 67}},
            r"soft_gap must be at most the 66 days .* got 67; lower it, or set pairs.soft_negatives to false",
        ),
        (
            {"downstream": {"context": 5, "stride": 10}},
            r"context and downstream.stride must span at most the 39 days .* got 40 days with context 5 and stride 10",
        ),
        (
            {"downstream": {"horizon": 4, "stride": 10}},
            r"horizon and downstream.stride must span at most the 39 days .* got 40 days with horizon 4",
        ),
        (
            {"downstream": {"horizon": 1, "context": 1, "stride": 20}},
            r"stride must fit into a stretch .* got 20 with 60 training days .* at most 40; lower it to 10, or import",
        ),
    ],
)
def test_distances_that_the_record_does_not_have_are_refused(
    data: FieldData, changes: dict[str, Any], got: str
) -> None:
    with pytest.raises(ConfigError, match=got):
        check(data, "tiny_forecast", **changes)


def test_distances_that_a_trial_does_not_read_are_not_refused(data: FieldData) -> None:
    far = {"soft_negatives": True, "soft_gap": 5000, "max_delta": 30}
    check(data, objective={"kind": "autoencoder"}, pairs=far)
    check(data, objective={"kind": "barlow"}, pairs=far)
    check(data, "tiny_seasons", pairs=far, downstream={"share": 1.0}, starts_from=("other",))


def test_positives_and_hard_negatives_must_exist(make_fields: MakeFields) -> None:
    short = make_fields(100, jumps={number: 50 for number in range(6, 60, 6)})
    with pytest.raises(
        ConfigError, match=r"max_delta must be at most the 5 days .* got 6; set it to 5 or less"
    ):
        check(short, pairs={"max_delta": 6, "hard_negatives": False})
    with pytest.raises(
        ConfigError, match=r"hard_negatives needs training days that lie 10 to 40 days apart, got 60"
    ):
        check(short)
    check(short, pairs={"hard_negatives": False})
    with pytest.raises(
        ConfigError, match=r"days .* must follow one another .* set objective.kind to autoencoder"
    ):
        check(make_fields(100, jumps=ALONE))
    twos = make_fields(100, jumps={number: 1 for number in range(2, 60, 2)})
    check(twos, pairs={"max_delta": 1}, objective={"cycle": "off"})
    with pytest.raises(ConfigError, match=r"cycle must be off .* got latent with runs of 2 days at most"):
        check(twos, pairs={"max_delta": 1}, objective={"cycle": "latent"})


@pytest.mark.parametrize(
    ("preset", "knob"), [("tiny", "objective.kind supcon"), ("tiny_seasons", "downstream.kind seasons")]
)
def test_seasons_must_be_two(make_fields: MakeFields, preset: str, knob: str) -> None:
    winter = make_fields(60)
    with pytest.raises(
        ConfigError, match=rf"{knob} needs training days of at least 2 seasons, got DJF alone"
    ):
        check(winter, preset, objective={"kind": "supcon" if preset == "tiny" else "autoencoder"})


def test_mirrors_are_refused_where_there_are_none(make_fields: MakeFields) -> None:
    flip = {"flip": 0.2}
    check(make_fields(100, variables=("t2m", "z")), views=flip)
    with pytest.raises(ConfigError, match=r"flip must be 0 for winds, .* got 0.2 with u, v; set it to 0"):
        check(make_fields(100), views=flip)
    with pytest.raises(ConfigError, match=r"got 0.2 with uwnd, v10; set it to 0"):
        check(make_fields(100, variables=("air", "uwnd", "v10")), views=flip)
    with pytest.raises(ConfigError, match=r"not the same in a mirror, got 0.2 with t2m; set it to 0"):
        check(make_fields(100, variables=("t2m",), sea=0.3), views=flip)


@pytest.mark.parametrize(
    ("runs", "held"),
    [(11, None), (10, "those 1 and 3 and 5 ahead alone"), (2, "those 1 ahead alone"), (1, "none")],
)
def test_leads_that_no_run_holds_are_told(runs: int, held: str | None) -> None:
    test = np.concatenate([100 * number + np.arange(runs) for number in range(1, 4)])
    day = np.concatenate([np.arange(60), test])
    told = list(leads_without_windows(day, {"train": range(60), "test": range(60, len(day))}))
    expected = (
        f"no day of test is followed by more than {runs - 1} others without a jump: of forecasts 1, 3, 5, 10 days "
        f"ahead, test holds {held}"
    )
    assert told == ([] if held is None else [expected])


@pytest.mark.parametrize(("days", "reach"), [(100, 19), (50, 9), (20, 3), (5, 0)])
def test_leads_that_a_split_does_not_hold_are_named(days: int, reach: int, make_fields: MakeFields) -> None:
    data = make_fields(days)
    names = tuple(data.variables)
    task = task_for(PRESETS["tiny_forecast"].vary(data={"variables": names}))
    lacking = unmeasured(task, data, "val")
    why = f"no day of val is followed by more than {reach} others without a jump"
    assert why in lacking.values() or reach >= 10
    measure = ForecastSkill(names)
    batch = task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))
    guess = {f"{FORECAST_FIELD}{name}": torch.zeros_like(batch[f"ahead/{name}"]) for name in names}
    found = measure.summarize(measure.add(guess, batch))
    lacking = {name: reason for name, reason in lacking.items() if not name.startswith("latent_")}
    assert set(lacking) == {name for name, value in found.items() if np.isnan(value)}
    assert bool(lacking) == (reach < 10)
