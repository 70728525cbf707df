import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from thalweg.events import BaselineEvaluated, Notice, StudyEnded, TrialProgress, TrialStarted
from thalweg.files import LockHeld, locked
from thalweg.tracking import spool
from thalweg.tracking.spool import DeliveryState, Leader, Moment, OpenRun, Spool, set_aside_other


def notices(*texts: str) -> list[str]:
    return [Moment(index, Notice(text=text)).line() for index, text in enumerate(texts)]


def texts(lines: list[bytes]) -> list[str]:
    events = [Moment.parse(line).event for line in lines]
    return [event.text for event in events if isinstance(event, Notice)]


def test_every_event_survives_the_spool(make: Any) -> None:
    for event in (
        make.started(),
        BaselineEvaluated(name="climatology", metrics={"skill": 0.0}),
        *make.whole(3, 0.5),
        Notice(text="two\nlines"),
        StudyEnded(end="finished", seconds=1.5),
    ):
        assert Moment.parse(Moment(17, event).line()) == Moment(17, event)


def test_a_value_that_is_not_finite_survives_the_spool(make: Any) -> None:
    event = Moment.parse(Moment(0, make.progress(0, 8, math.nan)).line()).event
    assert math.isnan(event.value)  # type: ignore[union-attr, arg-type]


def test_values_that_json_does_not_know_survive_as_plain_ones() -> None:
    params = MappingProxyType({"lr": np.float32(0.5), "root": Path("data")})
    event = Moment.parse(Moment(0, TrialStarted(number=0, params=params, config={})).line()).event
    assert event.params == {"lr": 0.5, "root": "data"}  # type: ignore[union-attr]


def test_the_provenance_of_a_trial_keeps_the_name_that_spools_have_for_it() -> None:
    event = TrialProgress(number=0, samples=8, value=0.5, metrics={}, provenance={"device": "cpu"})
    line = Moment(17, event).line()
    assert json.loads(line)["event"]["facts"] == {"device": "cpu"}
    earlier = line.replace('"documents":{}', '"curves":[]')  # an earlier version had fewer fields
    assert Moment.parse(earlier) == Moment(17, event)


def test_a_line_that_is_no_event_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a stamped event"):
        Moment.parse('{"kind": "Notice"}')


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    spool = Spool.begin(tmp_path, 1)
    spool.append(notices("whole"))
    with spool.path.open("ab") as file:
        file.write(b'{"time_ms": 1, "ki')
    assert texts(spool.read(DeliveryState())[0]) == ["whole"]


def test_a_spool_is_read_on_where_it_was_left(tmp_path: Path) -> None:
    spool, state = Spool.begin(tmp_path, 1), DeliveryState()
    spool.append(notices("first"))
    _, state.session, state.offset = spool.read(state)
    spool.append(notices("second"))
    assert texts(spool.read(state)[0]) == ["second"]


def test_earlier_sessions_are_read_before_the_present_one(tmp_path: Path) -> None:
    first = Spool.begin(tmp_path, 10)
    first.append(notices("left over"))
    second, state, got = Spool.begin(tmp_path, 20), DeliveryState(), []
    second.append(notices("new"))
    for _ in range(2):
        lines, state.session, state.offset = second.read(state)
        got += texts(lines)
    assert got == ["left over", "new"]


def test_a_process_of_an_earlier_session_leaves_later_ones_alone(tmp_path: Path) -> None:
    first = Spool.begin(tmp_path, 10)
    second = Spool.begin(tmp_path, 20)
    second.append(notices("new"))
    assert first.read(DeliveryState())[0] == []
    assert second.num_waiting() == 1


def test_sessions_follow_each_other_although_the_clock_goes_back(tmp_path: Path) -> None:
    first = Spool.begin(tmp_path, 100)
    assert Spool.begin(tmp_path, 50).session > first.session


def test_what_was_delivered_stays_to_be_read_again(tmp_path: Path) -> None:
    spool, state = Spool.begin(tmp_path, 1), DeliveryState()
    spool.append(notices("a", "b"))
    assert spool.num_waiting() == 2
    _, state.session, state.offset = spool.read(state)
    state.save(spool.state_path)
    later = Spool.begin(tmp_path, 2)
    later.append(["no event", *notices("c")])
    assert later.num_waiting() == 2
    assert [moment.event.text for moment in later.moments()] == ["a", "b", "c"]  # type: ignore[union-attr]


def test_a_state_is_read_as_it_was_saved(tmp_path: Path) -> None:
    state = DeliveryState(uri="sqlite:///x", open={"3": OpenRun("run", {"time/train_s": 1.5}, "lr=1")})
    state.leaders.append(Leader(number=3, value=0.5, run_id="run", searched="lr=1"))
    state.save(tmp_path / "mlflow.json")
    assert DeliveryState.load(tmp_path / "mlflow.json") == state


def test_a_state_that_cannot_be_read_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "mlflow.json").write_text('{"uri": ')
    state = DeliveryState.load(tmp_path / "mlflow.json")
    assert dataclasses.replace(state, study_id="") == DeliveryState(study_id="")


def test_a_copied_study_gets_an_identity_of_its_own_and_a_moved_one_keeps_it(tmp_path: Path) -> None:
    state, original = DeliveryState(uri="sqlite:///x", session=3), tmp_path / "original"
    original.mkdir()
    state.settle(original)
    state.save(original / "mlflow.json")
    shutil.copytree(original, tmp_path / "copy")
    copied = DeliveryState.load(tmp_path / "copy" / "mlflow.json")
    copied.settle(tmp_path / "copy")
    assert (copied.study_id != state.study_id, copied.uri, copied.session) == (True, "", 0)
    original.rename(tmp_path / "moved")
    moved = DeliveryState.load(tmp_path / "moved" / "mlflow.json")
    moved.settle(tmp_path / "moved")
    assert (moved.study_id, moved.uri, moved.session) == (state.study_id, "sqlite:///x", 3)


@pytest.mark.parametrize(
    ("known", "identity", "is_new", "is_other"),
    [
        ("a", "a", False, False),
        ("a", "b", False, True),
        ("a", "b", True, True),
        ("a", "", True, True),
        ("", "b", True, True),  # of an earlier version, which noted no identity
        ("", "b", False, False),
        (None, "b", True, False),
    ],
)
def test_a_record_is_set_aside_if_it_is_of_another_study(
    make: Any, tmp_path: Path, known: str | None, identity: str, is_new: bool, is_other: bool
) -> None:
    if known is not None:
        Spool.begin(tmp_path, 5).append(["{}"])
        DeliveryState(study_id="abc", identity=known, session=5).save(tmp_path / "mlflow.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = set_aside_other(tmp_path, make.started(identity=identity, is_new=is_new))
    aside = tmp_path / "mlflow_of_abc"
    assert found == (aside if is_other else None)
    home = aside if is_other else tmp_path
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before
    assert {path.name for path in tmp_path.iterdir()} <= {*before, aside.name, "mlflow.lock"}


def test_a_record_that_is_being_delivered_is_not_moved(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_WAIT_S", 0.0)
    DeliveryState(identity="a").save(tmp_path / "mlflow.json")
    with locked(tmp_path / "mlflow.lock"), pytest.raises(LockHeld, match="another process holds the lock"):
        set_aside_other(tmp_path, make.started(identity="b"))
    assert DeliveryState.load(tmp_path / "mlflow.json").identity == "a"


def test_spools_and_states_of_earlier_versions_are_read(make: Any, tmp_path: Path) -> None:
    unknown = ("identity", "is_new", "documents")
    for event in (make.started(), make.progress(3, 256, 0.5)):
        line = json.loads(Moment(7, event).line())
        line["event"] = {name: value for name, value in line["event"].items() if name not in unknown}
        assert Moment.parse(json.dumps(line)) == Moment(7, event)
    state = dataclasses.asdict(DeliveryState(uri="sqlite:///x.db", parent_id="p", session=5))
    del state["identity"]
    (tmp_path / "mlflow.json").write_text(json.dumps(state))
    known = DeliveryState.load(tmp_path / "mlflow.json")
    assert (known.study_id, known.session, known.identity) == (state["study_id"], 5, "")
