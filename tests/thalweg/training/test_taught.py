"""Metrics that the stages of all families teach are those of their tasks, and the last stage teaches all."""

from itertools import pairwise

import pytest
import torch

from thalweg import discovery
from thalweg.contract import metrics_of
from thalweg.testing.steps import check_fit

PRESETS = [
    (family, preset)
    for family in discovery.names("trainables")
    for preset in discovery.load_family(family).presets
]


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_stages_teach_metrics_of_the_task(name: str, preset: str) -> None:
    family = discovery.load_family(name)
    task = family.task(family.preset(preset))
    with torch.device("meta"):
        check_fit(task, task.build(None))
    declared = {metric.name for metric in metrics_of(task) if metric.search_invariant}
    taught = [set(declared if stage.teaches is None else stage.teaches) for stage in task.stages()]
    assert set().union(*taught) >= declared
    for earlier, later in pairwise(taught):
        assert earlier & declared <= later  # what means something does not stop to do so
