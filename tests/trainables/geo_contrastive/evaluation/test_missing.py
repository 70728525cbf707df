"""Reconstructions without some of the variables, against loops over days and cells."""

import math

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.contract import Batch
from thalweg.errors import ConfigError
from thalweg.tracking import naming
from thalweg.training.evaluation import evaluate_split
from thalweg.training.process_group import ProcessGroup
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.knobs import rrmse_without
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.representation.task import RepresentationTask

NAMES = ("t2m", "u", "z")
SETS = (("t2m",), ("u",), ("z",), ("t2m", "z"))


@pytest.fixture(scope="module")
def data(make_fields: MakeFields) -> FieldData:
    return make_fields(days=60, variables=NAMES, sea=0.2, jumps={40: 3})


def task_of(kind: str) -> RepresentationTask:
    heads = {"heads": 4} if kind in ("self_attention", "gat", "cross_attention") else {}
    return RepresentationTask(
        PRESETS["tiny"].vary(
            data={"variables": NAMES},
            encoder={"fusion": {"kind": kind, **heads}},
            evaluation={"without_each": True, "without": [["z", "t2m"]]},
        )
    )


def model_of(task: RepresentationTask, data: FieldData) -> FieldModel:
    torch.manual_seed(0)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, FieldModel)
    return model


def whole(task: RepresentationTask, data: FieldData) -> Batch:
    return task.evaluation_batch(data, "val", np.arange(data.num_samples("val")))


def slow(batch: Batch, fields: dict[str, torch.Tensor], data: FieldData) -> float:
    """The mean over variables of the RRMSE, number by number."""
    found = []
    for name in NAMES:
        areas, error, truth = data.grids["8x4"].weights, 0.0, 0.0
        for day in range(len(batch["day"])):
            for place in zip(*np.nonzero(data.valid[name]), strict=True):
                true = float(batch[f"clean/{name}"][(day, *place)])
                error += float(areas[place]) * (float(fields[name][(day, *place)]) - true) ** 2
                truth += float(areas[place]) * true**2
        found.append(math.sqrt(error / truth))
    return sum(found) / len(found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["early", "average", "self_attention", "gcn", "gat", "cross_attention"])
def test_no_number_of_a_missing_variable_is_seen_and_all_are_reconstructed(
    kind: str, data: FieldData
) -> None:
    task = task_of(kind)
    model, batch = model_of(task, data), whole(task, data)
    group = ProcessGroup(0, 1, torch.device("cpu"))
    with torch.no_grad():
        metrics = evaluate_split(
            task, data, lambda each: task.predict(model, each), group, split="val", batch_size=5
        )
        for missing in SETS:
            here = torch.tensor([[name not in missing for name in NAMES]]).expand(len(batch["day"]), -1)
            views = {name: batch[f"view/{name}"][:, 0] for name in NAMES}
            views |= {name: torch.full_like(views[name], 9.0) for name in missing}
            expected = slow(batch, model.decode(model.encode(views, here)), data)
            assert metrics[rrmse_without(missing)] == pytest.approx(expected, rel=1e-4), missing
    assert len({metrics[rrmse_without(missing)] for missing in SETS} | {metrics["rrmse"]}) == 5


def test_baselines_miss_the_same_variables(data: FieldData) -> None:
    task = task_of("early")
    group = ProcessGroup(0, 1, torch.device("cpu"))
    found = {
        name: evaluate_split(
            task,
            data,
            lambda batch, baseline=baseline: task.predict(baseline, batch),  # type: ignore[misc]
            group,
            split="test",
            batch_size=8,
            is_baseline=True,
        )
        for name, baseline in task.baselines(data).items()
    }
    for missing in SETS:
        name = rrmse_without(missing)
        assert found["climatology"][name] == pytest.approx(found["climatology"]["rrmse"])
        assert found["persistence"][name] == pytest.approx(found["persistence"]["rrmse"])
        assert found["pattern_interpolation"]["rrmse"] < found["pattern_interpolation"][name]
    one, two = (found["pattern_interpolation"][rrmse_without(names)] for names in (("z",), ("t2m", "z")))
    assert one < two


def test_nothing_more_is_measured_by_default(data: FieldData) -> None:
    task = RepresentationTask(PRESETS["tiny"].vary(data={"variables": NAMES}))
    assert not any("without" in metric.name for each in task.measures() for metric in each.metrics)
    outputs = task.predict(model_of(task, data), whole(task, data))
    assert not any("without" in name for name in outputs)
    assert task.protocol() == task_of("early").protocol()  # what both measure may be compared


def test_metrics_have_names_that_records_take_for_any_name_of_a_variable() -> None:
    odd = ("wind-10.m", "temp_2m", "a.b", "a_b")
    config = PRESETS["tiny"].vary(
        data={"variables": odd}, evaluation={"without_each": True, "without": [odd[:2]]}
    )
    names = [metric.name for each in RepresentationTask(config).measures() for metric in each.metrics]
    assert len({naming.key(name) for name in names}) == len(names)
    assert sum(name.startswith("rrmse_without_") for name in names) == 5


@pytest.mark.parametrize(
    ("variables", "without", "message"),
    [
        (NAMES, [["t2m", "u", "z"]], "some, not all"),
        (NAMES, [["q"]], "some, not all"),
        (NAMES, [[]], "some, not all"),
        (("u", "without_u"), [["u"]], "rrmse_without_u twice"),
    ],
)
def test_sets_that_leave_nothing_or_name_nothing_are_refused(
    variables: tuple[str, ...], without: list[list[str]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PRESETS["tiny"].vary(data={"variables": variables}, evaluation={"without": without})
