"""The table of all metrics and curves of a run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.thalweg.tracking.conftest import Teller
from thalweg.events import StudyEnded
from thalweg.tracking.metrics.metric_table import MetricTable, read_table

if TYPE_CHECKING:
    from mlflow.entities import Run

NAMES = ("skill", "loss/rain", 'RMSE, "mm"', "\u03b2")


@pytest.mark.slow
@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from(NAMES), st.floats(allow_nan=False), st.integers(0, 9)),
        max_size=20,
    )
)
def test_what_was_written_is_read_again_to_the_last_bit(points: list[tuple[int, str, float, int]]) -> None:
    table = MetricTable()
    twin: dict[tuple[int, str], float] = {}
    for samples, name, value, time_ms in points:
        table.add(samples, {name: value}, time_ms)
        twin[samples, name] = value
    again = MetricTable.parse(table.text())
    for samples in range(100):
        assert again.at(samples) == {name: v for (at, name), v in twin.items() if at == samples}
    assert again.text() == table.text()


def test_values_that_are_not_finite_are_kept() -> None:
    table = MetricTable()
    table.add(64, {"skill": math.nan, "rmse": math.inf}, 5)
    found = MetricTable.parse(table.text()).at(64)
    assert math.isnan(found["skill"]) and found["rmse"] == math.inf


def test_another_file_is_refused() -> None:
    with pytest.raises(ValueError, match="must begin with samples and times, got lat, lon"):
        MetricTable.parse("lat,lon\n1,2\n")


def test_it_is_a_plain_table_in_the_order_of_samples() -> None:
    table = MetricTable()
    table.add(128, {"skill": 0.5}, 20)
    table.add(64, {"loss/rain": 2.0}, 10)
    rows = list(csv.DictReader(io.StringIO(table.text())))
    assert rows == [
        {"samples": "64", "time_ms": "10", "skill": "", "loss/rain": "2.0"},
        {"samples": "128", "time_ms": "20", "skill": "0.5", "loss/rain": ""},
    ]


def test_a_trial_that_is_taken_up_by_another_process_loses_no_row(
    teller: Teller, make: Any, recorded: Callable[[], dict[str, Run]]
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3))
    teller.forget()
    teller.tell(make.progress(0, 512, 0.4), make.ended(0, 0.4))
    table = read_table(teller.client, recorded()["trial 000"].info.run_id)
    assert [table.at(samples)["skill_rain"] for samples in (256, 512)] == [0.15, 0.2]
    assert table.at(512)["time/trial_s"] == 6.0


def test_a_trial_that_its_search_interrupts_has_its_rows(
    teller: Teller, make: Any, recorded: Callable[[], dict[str, Run]]
) -> None:
    teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), StudyEnded(end="interrupted"))
    assert read_table(teller.client, recorded()["trial 000"].info.run_id).at(256)["loss/rain"] == 1.0


def test_a_run_of_an_earlier_version_has_no_table_and_keeps_its_seconds(
    teller: Teller, make: Any, recorded: Callable[[], dict[str, Run]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("thalweg.tracking.metrics.run_metrics.write_table", lambda *_: None)
        teller.tell(make.started(), make.trial(0), make.progress(0, 256, 0.3), StudyEnded(end="interrupted"))
    run_id = recorded()["trial 000"].info.run_id
    assert len(read_table(teller.client, run_id)) == 0
    teller.forget()
    teller.tell(make.started(), make.trial(0), make.progress(0, 512, 0.4), make.ended(0, 0.4))
    assert recorded()["trial 000"].data.metrics["time/train_s"] == 4.0
