"""The journal read without Optuna gives the records that Optuna's replay gives."""

import gc
import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept import evaluated
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from thalweg.errors import StudyError
from thalweg.search.space import Space
from thalweg.search.store import journal
from thalweg.search.store.journal import Journal
from thalweg.search.store.journal_reader import Clock
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import (
    CHECKPOINT,
    CONTINUES,
    DEFINITION,
    OUTCOME,
    StudyRecord,
    read,
    read_study,
)
from thalweg.search.store.storage import open_storage
from thalweg.study_folder import StudyFolder

Make = Callable[..., Space]
Open = Callable[..., Ledger]


def by_optuna(folder: Path, name: str) -> StudyRecord:
    return read(optuna.load_study(study_name=name, storage=open_storage(folder, None)), folder)


def ask(ledger: Ledger) -> int:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal.number


@pytest.fixture
def folder(make_space: Make, open_ledger: Open, tmp_path: Path) -> Path:
    """A study with trials of every state, some continued in a second session, and one that is running."""
    ledger = open_ledger(make_space(first_trials=({"kind": "bent", "bend": 2.0, "width": 3},)))
    complete, pruned, failed, cut, never = (ask(ledger) for _ in range(5))
    for samples in (100, 200, 800):
        ledger.report(complete, evaluated(samples=samples, value=1 / samples, metrics={"loss": 1 / samples}))
    ledger.complete(complete)
    ledger.report(pruned, evaluated(samples=100, value=9.0))
    ledger.prune(pruned)
    ledger.fail(failed, "the loss is \u221e", "infeasible")
    at = str(tmp_path / "study" / "checkpoints" / f"trial-{cut:05d}" / "samples-100")
    ledger.report(cut, evaluated(samples=100, value=0.25, checkpoint=at))
    assert ledger.interrupt_all() == [cut, never]
    ledger.close()
    ledger = open_ledger(make_space(num_trials=40))
    ask(ledger)
    ledger.close()
    return tmp_path / "study"


def test_trials_of_every_state_are_read_as_by_optuna(folder: Path) -> None:
    found = read_study(folder, "s")
    assert found == by_optuna(folder, "s")
    assert {trial.status for trial in found.trials} == {"complete", "pruned", "failed", "running", "waiting"}
    assert {type(value) for trial in found.trials for value in trial.params.values()} >= {int, float, str}
    assert any(trial.interrupted for trial in found.trials)
    assert any(trial.continues is not None for trial in found.trials)


@pytest.mark.parametrize("left", [1, 30])
def test_a_line_that_is_being_written_is_left_out(folder: Path, left: int) -> None:
    lines = StudyFolder(folder).journal.read_bytes().splitlines(keepends=True)
    for end in range(1, len(lines)):
        StudyFolder(folder).journal.write_bytes(b"".join(lines[:end]) + lines[end][:left])
        try:
            found = read_study(folder, "s")
        except StudyError as error:  # its definition was not yet written
            with pytest.raises(Exception) as theirs:
                by_optuna(folder, "s")
            assert isinstance(theirs.value, KeyError) or str(theirs.value) == str(error)
        else:
            assert found == by_optuna(folder, "s")


def test_another_study_is_refused_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(StudyError, match=r"no study 'lakes' in .*study \(found: s\)"):
        read_study(folder, "lakes")


@pytest.mark.parametrize("line", ['{"op_code":77}', '{"op_code":4}', '{"op_code":"x"}'])
def test_an_operation_that_nobody_knows_is_refused(folder: Path, line: str) -> None:
    with StudyFolder(folder).journal.open("a") as journal:
        journal.write(f"{line}\n")
    with pytest.raises(StudyError, match="restore the file, or give the study another name"):
        read_study(folder, "s")


WHOLE = b'{"op_code":7,"worker_id":"w","trial_id":0,"step":1,"intermediate_value":[1,{"op_code":7}]}'
HALF, OTHER_HALF = WHOLE[:-16], WHOLE[-15:]  # a comma between them makes the whole one


@pytest.mark.parametrize("batch", [1, 300, 2**20])
@pytest.mark.parametrize(
    "damaged",
    [
        [WHOLE + b"," + WHOLE, HALF, OTHER_HALF],
        [HALF, OTHER_HALF, WHOLE + b"," + WHOLE],
        [HALF + WHOLE],
        [WHOLE.replace(b"1,", b'"\\ud800",')],
        [WHOLE[: WHOLE.index(b"[")] + b"nonsense}"],
        [b'{"trial_id":0}'],
        [b"7"],
        [b""],
    ],
)
def test_many_lines_at_once_mean_what_each_means_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: list[bytes], batch: int
) -> None:
    monkeypatch.setattr(journal, "_BATCH_BYTES", batch)
    file = tmp_path / "journal.log"
    for end in (b"\n", b""):
        file.write_bytes(b"\n".join([WHOLE, WHOLE, *damaged, WHOLE, WHOLE]) + end)
        alone, together = Journal(file), Journal(file)
        try:
            expected = list(alone.read_logs(0))
        except StudyError as error:
            with pytest.raises(StudyError) as found:
                list(together.read_batches())
            assert str(found.value) == str(error)
        else:
            assert [log for logs in together.read_batches() for log in logs] == expected
            assert len(expected) >= 3
        assert together.skipped == alone.skipped


@pytest.fixture(params=["Europe/London", "Asia/Kathmandu", "America/St_Johns", "UTC"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another local time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_moments_are_local_also_where_clocks_change() -> None:
    clock, moment = Clock(), datetime(2026, 3, 7, tzinfo=UTC)
    while moment.year == 2026:
        for kind in (moment, moment.replace(tzinfo=None)):
            text = kind.isoformat(timespec="microseconds")
            assert clock.moment(text) == datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
        moment += timedelta(hours=5, minutes=29, microseconds=1)
    assert clock.moment("2026-07-01T12:00:00+02:00") == clock.moment("2026-07-01T10:00:00.000000+00:00")
    assert clock.moment(None) is None


def test_a_refused_journal_leaves_the_search_for_cycles_as_it_was(folder: Path) -> None:
    for switch in (gc.disable, gc.enable):
        switch()
        before = gc.isenabled()
        read_study(folder, "s")
        with pytest.raises(StudyError, match="no study 'lakes'"):
            read_study(folder, "lakes")
        assert gc.isenabled() == before


RANGES: tuple[BaseDistribution, ...] = (
    FloatDistribution(0.0, 1.0),
    FloatDistribution(0.0, 1.0, step=0.5),
    FloatDistribution(0.5, 2.0, log=True),
    IntDistribution(0, 8),
    IntDistribution(1, 8, log=True),
    CategoricalDistribution(["a", "b"]),
    CategoricalDistribution(["a", None]),
    CategoricalDistribution([float("nan"), "b"]),
)
MOMENTS = ("2026-11-28T10:00:00.000000", "2026-11-28T23:59:59.999999")
studies, trials, names = st.integers(0, 2), st.integers(0, 3), st.sampled_from(("x", "y"))
ranges = st.sampled_from(RANGES).map(distribution_to_json)
notes = st.sampled_from(
    (
        {CONTINUES: 0},
        {CHECKPOINT: "checkpoints/trial-00000/samples-100"},
        {OUTCOME: {"samples": 7, "metrics": {"loss": 0.5}, "seconds": 1.0, "interrupted": True}},
    )
)


def operation(number: int, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {"op_code": st.just(number), "worker_id": st.sampled_from(("one", "two"))}
    return st.fixed_dictionaries(fixed | fields)


moments = st.sampled_from(MOMENTS)
new_trial = operation(4, study_id=studies, datetime_start=moments | st.none())
old_trial = operation(
    4,
    study_id=studies,
    datetime_start=moments,
    datetime_complete=moments,
    state=st.integers(0, 4),
    distributions=st.fixed_dictionaries({"x": ranges}),
    params=st.just({"x": 1}),
    user_attrs=notes,
    intermediate_values=st.just({"100": 0.5}),
)
changes = (
    operation(5, trial_id=trials, param_name=names, param_value_internal=st.just(1), distribution=ranges)
    | operation(
        6,
        trial_id=trials,
        state=st.integers(0, 4),
        values=st.just([0.5]) | st.none(),
        datetime_start=moments,
        datetime_complete=moments,
    )
    | operation(7, trial_id=trials, step=st.integers(1, 3), intermediate_value=st.sampled_from((0.5, 2.0)))
    | operation(8, trial_id=trials, user_attr=notes)
    | operation(9, trial_id=trials, system_attr=st.just({"completed_rung_0": 0.5}))
)
about_studies = operation(0, study_name=st.sampled_from(("s", "t")), directions=st.just([1])) | operation(
    1, study_id=studies
)


@pytest.mark.slow
@given(st.lists(new_trial | old_trial | changes | changes | about_studies, min_size=15, max_size=40))
def test_any_operations_mean_what_they_mean_to_optuna(
    tmp_path_factory: pytest.TempPathFactory, operations: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("study")
    by_one: dict[str, Any] = {"worker_id": "one"}
    begin: list[dict[str, Any]] = [
        *({"op_code": 0, "study_name": name, "directions": [1]} | by_one for name in ("s", "t")),
        *({"op_code": 4, "study_id": number, "datetime_start": MOMENTS[0]} | by_one for number in (0, 1, 0)),
    ]
    end = [
        {"op_code": 2, "worker_id": "one", "study_id": number, "user_attr": {DEFINITION: {"mode": "min"}}}
        for number in range(5)
    ]
    lines = [json.dumps(log) for log in (*begin, *operations, *end)]
    StudyFolder(folder).journal.write_text("".join(f"{line}\n" for line in lines))
    for name in ("s", "t"):
        try:
            theirs = by_optuna(folder, name)
        except (KeyError, StudyError):
            with pytest.raises(StudyError):
                read_study(folder, name)
        else:
            # NaN, which a set of choices may hold, is unequal to itself
            assert repr(read_study(folder, name)) == repr(theirs)


@pytest.mark.slow
def test_a_parameter_keeps_the_kind_of_values_that_it_began_with(tmp_path: Path) -> None:
    logs: list[dict[str, Any]] = []
    for number, (first, second) in enumerate(itertools.product(RANGES, RANGES)):
        logs.append({"op_code": 0, "study_name": f"{number}", "directions": [1]})
        logs.append({"op_code": 2, "study_id": number, "user_attr": {DEFINITION: {"mode": "min"}}})
        for trial, asked in enumerate((first, second)):
            logs.append({"op_code": 4, "study_id": number, "datetime_start": MOMENTS[0]})
            answer = {
                "param_name": "x",
                "param_value_internal": 1,
                "distribution": distribution_to_json(asked),
            }
            logs.append({"op_code": 5, "trial_id": 2 * number + trial} | answer)
    lines = (json.dumps(log | {"worker_id": "one"}) for log in logs)
    StudyFolder(tmp_path).journal.write_text("".join(f"{line}\n" for line in lines))
    for number in range(len(RANGES) ** 2):
        assert read_study(tmp_path, f"{number}") == by_optuna(tmp_path, f"{number}")
