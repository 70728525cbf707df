"""Modalities are rows: of any name, several of a kind, with unit, transform and bounds."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from tests import tasks
from thalweg.config import alike, identity, idle_knobs, parse
from thalweg.errors import ConfigError, KnobError
from thalweg.stage_contract import Progress
from trainables.water_mae.config import PRESETS, EvaluationKnobs, ForecastKnobs, WaterMAE
from trainables.water_mae.data.windows import WaterData
from trainables.water_mae.evaluation import metrics
from trainables.water_mae.forecast import lstm
from trainables.water_mae.knobs import PUBLISHED, PUBLISHED_SET, Modality, ModalitySet
from trainables.water_mae.task import WaterMAETask

NOW = Progress(samples=0, total_samples=100, stage="train", stage_ratio=0.0)
ROWS = (
    Modality(name="snow", kind="field", unit="mm", low=0, high=5000),
    Modality(name="soil_moisture", kind="series", unit="1"),
    Modality(name="temperature", kind="field", unit="degC"),
    Modality(name="groundwater", kind="series", unit="m"),
    Modality(name="river_flow", kind="series", unit="mm/day", transform="log", floor=0.01),
)
NAMES = ("snow", "temperature", "soil_moisture", "groundwater", "river_flow")


@pytest.fixture
def other(config: WaterMAE) -> WaterMAE:
    return config.vary(
        data={"modalities": ROWS, "attributes": ("area", "aridity")}, loss_weights={"groundwater": 3.0}
    )


@pytest.fixture
def others(make_data: Callable[..., WaterData]) -> WaterData:
    """Random numbers in two fields, three series and two attributes."""
    data = make_data()
    rng = np.random.default_rng(1)
    series = rng.standard_normal((60, 3, *data.geometry.member_valid.shape)).astype(np.float32)
    images, vectors = data.climatology()
    geometry = replace(data.geometry, static=data.geometry.static[..., :2])
    return replace(
        data,
        modalities=ModalitySet.of(ROWS),
        attributes=("area", "aridity"),
        geometry=geometry,
        images=data.images[:, :2],
        vectors=series * data.geometry.member_valid,
        vector_present=np.ones((60, 3), bool),
        units=("mm", "degC", "1", "m", "mm/day"),
        _climatology=(images[:, :2], np.concatenate([vectors, vectors[:, :1]], axis=1)),
    )


def test_rows_come_with_fields_first_and_keep_their_order() -> None:
    found = ModalitySet.of(ROWS)
    assert found.names == NAMES and found.fields == NAMES[:2] and found.series == NAMES[2:]
    assert found.places["groundwater"] == ("vector", 1) and found.places["temperature"] == ("image", 1)
    assert found.measured == ("soil_moisture", "river_flow")
    assert PUBLISHED_SET.names == (
        "precipitation",
        "soil_moisture",
        "temperature",
        "evaporation",
        "river_flow",
    )
    assert PUBLISHED_SET.measured == ("river_flow",)


def test_the_published_configuration_is_recorded_as_before() -> None:
    """Older studies know neither rows nor attributes, and spell all five modalities of the objective."""
    values = identity(WaterMAE())
    assert not {"modalities", "attributes"} & set(values["data"])
    assert values["evaluation"] == {"modalities": list(PUBLISHED_SET.names)}
    assert values["forecast"] == {"share": 0.0, "lr_scale": 1.0}
    assert parse(WaterMAE, values) == WaterMAE() and alike(
        WaterMAE, values, WaterMAE().model_dump(mode="json")
    )
    some = values | {"evaluation": {"modalities": ["precipitation", "river_flow"]}}
    assert parse(WaterMAE, some).judged == ("precipitation", "river_flow")
    assert not alike(WaterMAE, some, values)


def test_a_configuration_of_rows_survives_json(other: WaterMAE) -> None:
    again = parse(WaterMAE, other.model_dump(mode="json"))
    assert again == other and again.weights_at(0.0) == {
        **{"snow": 1.0, "temperature": 10.0, "soil_moisture": 10.0},
        **{"groundwater": 3.0, "river_flow": 1.0},
    }
    assert identity(other)["data"]["modalities"][0]["name"] == "snow"
    assert {"loss_weights.precipitation", "data.fill_precipitation"} <= set(idle_knobs(other))


def test_knobs_of_what_is_not_there_are_idle() -> None:
    of_fields = {"data.patch_size", "masking.image_mask_ratio", "model.image_depth"}
    of_series = {
        "data.vector_patch_size",
        "masking.vector_mask_ratio",
        "model.vector_depth",
        "data.attributes",
    }
    conditioning = {"model.film_mode"}
    for data, idle in (
        ({"modalities": PUBLISHED[:3]}, of_series | conditioning),
        ({"modalities": PUBLISHED[3:]}, of_fields),
        ({"attributes": ()}, conditioning),
        ({}, set()),
    ):
        found = set(idle_knobs(WaterMAE().vary(data=data)))
        assert found & (of_fields | of_series | conditioning) == idle


def test_every_row_is_reconstructed_weighed_and_measured(other: WaterMAE, others: WaterData) -> None:
    task = WaterMAETask(other)
    model = task.build(task.facts(others))
    children = {name for name, _ in model.named_children()}
    assert {f"{name}_{part}" for name in NAMES for part in ("encoder", "decoder")} <= children
    assert len(children) == 2 * len(NAMES) + 3  # the shared layers and two sets of tokens
    batch = task.training_batch(others, np.arange(3), np.arange(3, dtype=np.uint64))
    predictions = model(batch)
    assert tuple(predictions) == NAMES
    assert tuple(tasks.weights(task, NOW)) == NAMES and tasks.weights(task, NOW)["groundwater"] == 3.0
    torch.autograd.backward([value.square().mean() for value in predictions.values()])
    assert all(parameter.grad is not None for parameter in model.parameters())
    found = tasks.metrics(task, model, task.evaluation_batch(others, "val", np.arange(4)))
    assert set(found) == {metric.name for measure in task.measures() for metric in measure.metrics}
    assert {f"skill_{name}" for name in NAMES} <= set(found)
    assert {"nse_river_flow", "kge_river_flow", "nse_soil_moisture", "kge_soil_moisture"} <= set(found)
    assert "nse_groundwater" not in found  # a level may be negative: a ratio of its means is no bias
    mean = np.mean([found[f"skill_{name}"] for name in NAMES])
    assert found["skill"] == pytest.approx(float(mean))
    for name, baseline in task.baselines(others).items():
        assert tuple(baseline(batch | task.evaluation_batch(others, "val", np.arange(3)))) == NAMES, name


def test_the_model_has_as_many_attributes_as_the_configuration_names(other: WaterMAE) -> None:
    counts = [
        sum(each.numel() for each in WaterMAETask(config).build(None).parameters())
        for config in (other, other.vary(data={"attributes": ("area", "aridity", "slope")}))
    ]
    assert counts[1] - counts[0] == 3 * other.model.dim * (1 + 2 * other.model.vector_depth)


@pytest.mark.parametrize("name", ["groundwater", "soil_moisture"])
def test_any_series_can_be_forecast(other: WaterMAE, others: WaterData, name: str) -> None:
    task = WaterMAETask(other.vary(forecast={"share": 0.5, "modality": name}))
    model = task.build(task.facts(others))
    batch = task.evaluation_batch(others, "val", np.arange(4))
    index = others.modalities.series.index(name)
    ends = others.starts["val"][:4] + others.sequence_length - 1
    expected = torch.from_numpy(others.vectors[ends + 1, index])
    assert torch.equal(batch["forecast_target"][:, 0], expected)
    found = tasks.metrics(task, model, batch)
    seen = metrics.physical(batch["forecast_target"][:, 0], batch[f"{name}_scale"], others.modalities[name])
    assert torch.equal(seen, expected.double() * others.std[0] + others.mean[0])
    last = torch.from_numpy(others.vectors[ends, index]).double()
    valid = others.geometry.member_valid
    error = ((last - seen) ** 2).sum(0) / ((seen - seen.mean(0)) ** 2).sum(0)
    assert found["nse_forecast_1d"] == pytest.approx(float((1 - error[valid]).median()), abs=0.2)
    assert task.protocol()["forecast"] == name
    baselines = task.baselines(others)
    assert torch.equal(baselines["persistence"].forecast(batch)[:, 0].double(), last)  # type: ignore[operator]
    for each in ("forecast_ridge", "forecast_lstm"):
        forecast = baselines[each].forecast(batch)  # type: ignore[operator]
        assert forecast.isfinite().all() and not torch.equal(forecast[:, 0].double(), last), each


def test_floods_and_low_flows_are_those_of_the_series_that_is_forecast(
    other: WaterMAE, others: WaterData
) -> None:
    """Of soil moisture, which is not negative; a level of groundwater may be, and has neither of the two."""
    found, vectors = {}, others.vectors.copy()
    vectors[:, 0] *= 0.1  # normalised values near the mean, 10 times the standard deviation above 0
    shifted = replace(others, vectors=vectors, mean=np.array([0.0, 0.0, 1.0, 0.0, 0.0]))
    for name in ("soil_moisture", "groundwater"):
        task = WaterMAETask(other.vary(forecast={"share": 0.5, "modality": name}))
        model = task.build(task.facts(shifted))
        names = {metric.name for measure in task.measures() for metric in measure.metrics}
        batch = task.evaluation_batch(shifted, "val", np.arange(6))
        assert set(tasks.metrics(task, model, batch)) == names
        found[name] = {each for each in names if each.endswith("_1d")}, task, batch
    assert found["groundwater"][0] == {"nse_forecast_1d"}
    assert {"kge_forecast_1d", "flood_csi_1d", "peak_timing_error_1d", "log_nse_forecast_1d"} <= found[
        "soil_moisture"
    ][0]
    assert "flow_events" not in found["groundwater"][1].protocol()
    assert not found["groundwater"][1].unmeasured(shifted, "val")
    train = vectors[:40, 0].astype(np.float64)
    batch = found["soil_moisture"][2]
    valid = others.geometry.member_valid
    np.testing.assert_allclose(
        batch["flood_above"][0].numpy()[valid], np.quantile(train, 0.98, axis=0)[valid], rtol=1e-5
    )
    np.testing.assert_allclose(batch["mean_flow"][0].numpy()[valid], 1 + train.mean(0)[valid], rtol=1e-6)


def test_fine_tuning_reaches_all_that_is_read_for_any_series(other: WaterMAE, others: WaterData) -> None:
    knobs = {"share": 0.5, "modality": "groundwater", "encoder_lr_scale": 0.1}
    for depth, encoders in ((1, NAMES), (0, ("groundwater",))):
        task = WaterMAETask(other.vary(forecast=knobs, model={"shared_depth": depth}))
        prefixes = {group.prefix for group in task.stages()[-1].groups}
        assert {f"{name}_encoder." for name in encoders} == {
            each for each in prefixes if each.endswith("_encoder.")
        }
        weights = [name for name, _ in task.build(task.facts(others)).named_parameters()]
        assert all(any(name.startswith(prefix) for name in weights) for prefix in prefixes)


def test_the_lstm_weighs_catchments_alike_in_any_unit(others: WaterData) -> None:
    """As published in mm/day; the epsilon of another unit goes with the spread of the data."""
    assert lstm.epsilon(others, "river_flow") == 0.1
    wide = replace(others, std=10 * others.std)
    first, second = (lstm.epsilon(data, "groundwater") for data in (others, wide))
    assert second == pytest.approx(10 * first) and first > 0


def test_the_floor_of_a_logarithm_is_that_of_the_row(others: WaterData) -> None:
    row = others.modalities["river_flow"]
    flow = torch.tensor([[0.0, 0.5, 30.0]], dtype=torch.float64)
    scale = torch.tensor([[-1.0, 2.0]], dtype=torch.float64)
    normalised = (torch.log(flow + 0.01) + 1) / 2
    torch.testing.assert_close(metrics.physical(normalised, scale, row), flow, atol=1e-6, rtol=1e-6)
    plain = row.vary(transform="none", floor=1e-6)
    torch.testing.assert_close(metrics.physical(normalised, scale, plain), normalised * 2 - 1)


def test_rows_change_the_protocol_and_the_data(config: WaterMAE, other: WaterMAE) -> None:
    floors = [*(row for row in ROWS if row.name != "river_flow"), ROWS[-1].vary(floor=0.1)]
    found = [WaterMAETask(each) for each in (config, other, other.vary(data={"modalities": floors}))]
    for one, two in pairwise(found):
        assert one.protocol() != two.protocol() and one.data_key() != two.data_key()


def row(**changes: Any) -> dict[str, Any]:
    return {"name": "snow", "kind": "field"} | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"low": 3, "high": 1}, "low must be below high, got 3 and 1 for snow"),
        ({"transform": "log"}, "low must be at least 0 with the transform log, got None for snow"),
        ({"kind": "series", "fill": "zero"}, "fill must be left out of a series"),
        ({"name": "Snow depth"}, "should match pattern"),
    ],
)
def test_a_row_obeys_laws(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Modality.model_validate(row(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"modalities": ()}}, "modalities must hold at least one field or series, got none"),
        (
            {"data": {"modalities": PUBLISHED[:1]}, "loss": {"contrastive_weight": 0.1}},
            "contrastive_weight must be 0 with one modality, .* got 0.1 with precipitation alone",
        ),
        ({"data": {"modalities": PUBLISHED[:3]}, "forecast": {"share": 0.5}}, "'river_flow'; there are none"),
        ({"data": {"modalities": (*PUBLISHED, PUBLISHED[0])}}, "different names, got precipitation several"),
        ({"data": {"modalities": (PUBLISHED[0].vary(fill="zero"), *PUBLISHED[1:])}}, "give it as fill_precipitation"),
        ({"data": {"attributes": ("area", "area")}}, "attributes must differ, got area"),
        ({"loss_weights": {"snow": 2.0}}, "loss_weights must name modalities, got snow; there are precipitation"),
        ({"loss_weights": {"river_flow": -2.0}}, "greater than or equal to 0"),
        ({"evaluation": {"modalities": ("snow",)}}, "evaluation.modalities must be some of precipitation"),
        ({"forecast": {"share": 0.5, "modality": "snow"}}, "forecast.modality must be a series, got 'snow'"),
    ],
)  # fmt: skip
def test_a_configuration_obeys_laws(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PRESETS["tiny"].vary(**changes)


def test_a_misspelt_knob_is_still_refused() -> None:
    with pytest.raises(KnobError, match="did you mean data"):
        PRESETS["tiny"].vary(data={"modalitys": ROWS})
    with pytest.raises(ConfigError, match="got precipitatoin"):
        PRESETS["tiny"].vary(loss_weights={"precipitatoin": 1.0})


def test_a_row_takes_the_unit_of_its_files_unless_it_or_its_quantity_has_one() -> None:
    snow = Modality(name="snow", kind="series", low=0)
    assert snow.is_persistent and not snow.declared("mm d-1").is_persistent
    assert snow.declared("").unit == "" and snow.vary(unit="mm").declared("mm/day").unit == "mm"
    rain = Modality(name="precipitation", kind="field")
    assert rain.declared("K").unit == "" and rain.is_flux
    assert ModalitySet.of((rain, snow)).declared({"snow": "mm/day"})["snow"].is_flux


def test_bounds_and_units_of_a_row() -> None:
    temperature = Modality(name="temperature", kind="field", unit="K")
    assert [each.unit for each in temperature.bounds] == ["K", "degC"]
    narrow = Modality(name="temperature", kind="field", unit="degC", low=-40, high=50)
    assert [(each.unit, each.low, each.high) for each in narrow.bounds] == [("degC", -40, 50)]
    assert narrow.bounds[0].is_called("celsius")
    assert Modality(name="groundwater", kind="series", unit="m").bounds[0].low < -1e30
    assert EvaluationKnobs().modalities is None and ForecastKnobs().modality == "river_flow"
