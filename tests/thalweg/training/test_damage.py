"""A trial goes on from its newest checkpoint that is whole and its own, and a full disk leaves none half written."""

import errno
import json
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.thalweg.training.conftest import Orders, Run
from thalweg import files
from thalweg.errors import OutputError, TrialError
from thalweg.files import cause_of
from thalweg.training.checkpoints.export import draw, export
from thalweg.training.checkpoints.state import (
    FROM_BEFORE,
    STATE,
    TrainingState,
    complete,
    damage,
    incomplete,
    newest_whole,
)
from thalweg.training.hold_out import evaluate
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow

Damage = Callable[[Path], None]
WEIGHTS = "weights/mp_rank_00_model_states.pt"


def _flip(folder: Path) -> None:
    file = folder / WEIGHTS
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _cut(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def _empty(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"")


def _lose(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


def _cut_state(folder: Path) -> None:
    (folder / STATE).write_text((folder / STATE).read_text()[:-40])


def _change_state(folder: Path) -> None:
    text = (folder / STATE).read_text()
    (folder / STATE).write_text(text.replace('"samples_seen": 192', '"samples_seen": 193'))


def _from_before(folder: Path) -> None:
    """Leaves what commit 1fe89fc wrote: no digest, no study, an absolute path."""
    values = json.loads((folder / STATE).read_text())
    report = {name: value for name, value in values["report"].items() if name != "notes"}
    known = {"report": report | {"checkpoint": str(folder)}}
    known |= {name: values[name] for name in ("config", "family", "stage")}
    (folder / STATE).write_text(json.dumps(known, indent=1))


def _cut_from_before(folder: Path) -> None:
    _from_before(folder)
    _cut(folder)


def _flip_from_before(folder: Path) -> None:
    _from_before(folder)
    _flip(folder)


DAMAGES = [_flip, _cut, _empty, _lose, _cut_state, _change_state]


def _advance(session: Session, reached: int, until: int) -> list[Report]:
    reports = []
    while reached < until:
        reports.append(session.advance(reached))
        reached = reports[-1].samples
    session.close()
    return reports


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory, world: ProcessGroup) -> tuple[TrialOrder, list[Report]]:
    """A trial that stopped after 192 of 256 samples with three checkpoints, and its whole curve."""
    folder = tmp_path_factory.mktemp("cut")
    optimization = {"lr": 1e-2, "batch_size": 8, "warmup_ratio": 0.1}
    order = TrialOrder(
        trial="trial",
        family="families.toy",
        config={"optimization": optimization},
        metric="mse",
        evaluations=(64, 128, 192, 256),
        data_root=str(folder),
        directory=str(folder / "checkpoints"),
        keep_last=3,
        study="mine",
    )
    _advance(Session(order, world, DataCache()), 0, 192)
    whole = replace(order, directory=str(folder / "whole"))
    return order, _advance(Session(whole, world, DataCache()), 0, 256)


@pytest.fixture
def trial(cut: tuple[TrialOrder, list[Report]], tmp_path: Path) -> tuple[TrialOrder, Path]:
    """A copy of the trial that stopped, and its folder."""
    order = replace(cut[0], directory=str(tmp_path / "checkpoints"))
    shutil.copytree(cut[0].directory, order.directory)
    return order, Path(order.directory) / "trial"


@pytest.mark.parametrize("hurt", DAMAGES)
def test_the_one_before_a_damaged_checkpoint_is_taken_and_it_is_said(
    hurt: Damage, trial: tuple[TrialOrder, Path], cut: tuple[TrialOrder, list[Report]], world: ProcessGroup
) -> None:
    order, folder = trial
    newest = complete(folder)[-1]
    hurt(newest)
    assert damage(newest)
    session = Session(order, world, DataCache())
    assert session.last is not None and session.last.samples == 128
    again, last = _advance(session, 128, 256)
    assert again.notes[0].startswith(f"trial: the checkpoint trial/{newest.name} is damaged (")
    assert again.notes[0].endswith("; it goes on after 128 samples")
    assert last.notes == ()
    assert [again.metrics, last.metrics] == [report.metrics for report in cut[1][2:]]
    assert not any(damage(place) for place in complete(folder))


def test_a_trial_of_which_every_checkpoint_is_damaged_begins_anew(
    trial: tuple[TrialOrder, Path], cut: tuple[TrialOrder, list[Report]], world: ProcessGroup
) -> None:
    order, folder = trial
    for place in complete(folder):
        _flip(place)
    session = Session(order, world, DataCache())
    assert session.last is None
    (first,) = _advance(session, 0, 64)
    assert first.metrics == cut[1][0].metrics
    assert len(first.notes) == 3
    assert all(note.endswith("; it goes on from the start") for note in first.notes)


@pytest.mark.parametrize("hurt", [None, _cut, _flip, _empty])
def test_the_newest_whole_checkpoint_of_an_earlier_version_is_gone_on_from(
    hurt: Damage | None,
    trial: tuple[TrialOrder, Path],
    cut: tuple[TrialOrder, list[Report]],
    world: ProcessGroup,
) -> None:
    order, folder = trial
    for place in complete(folder):
        _from_before(place)
        assert damage(place) == ""
    interrupted = folder.rename(folder.with_name("interrupted"))
    resumes = str(interrupted / "samples-000000000128")  # as the study recorded it
    if hurt:
        hurt(interrupted / "samples-000000000192")
    reached = 128 if hurt else 192
    session = Session(replace(order, resumes=resumes), world, DataCache())
    assert session.last is not None and session.last.samples == reached
    first, *rest = _advance(session, reached, 256)
    assert [report.metrics for report in (first, *rest)] == [
        report.metrics for report in cut[1] if report.samples > reached
    ]
    assert first.notes == ()  # the study has told
    found = newest_whole({interrupted: {"mine", FROM_BEFORE}}, order.config)
    told = ["is damaged (weights/mp_rank" in reason for reason in found.skipped.values()]
    assert told == ([True] if hurt else [])


@pytest.mark.parametrize("left_by", ["another", ""])
def test_what_another_study_left_under_the_name_of_a_trial_is_trained_anew(
    left_by: str, trial: tuple[TrialOrder, Path], world: ProcessGroup
) -> None:
    order, folder = trial
    for place in complete(folder):
        replace(TrainingState.read(place), study=left_by).write(place, place)
    session = Session(order, world, DataCache())
    assert session.last is None
    (first,) = _advance(session, 0, 64)
    assert all("is of another study with this name" in note for note in first.notes)
    assert first.timings["train_s"] > 0
    assert TrainingState.read(complete(folder)[0]).study == "mine"


def test_a_state_bears_no_place_of_the_machine(trial: tuple[TrialOrder, Path]) -> None:
    _, folder = trial
    newest = complete(folder)[-1]
    stored = json.loads((newest / STATE).read_text())["report"]["checkpoint"]
    assert stored == f"checkpoints/trial/{newest.name}"
    assert TrainingState.read(newest).report.checkpoint == str(newest)


@pytest.mark.parametrize("hurt", [_flip, _lose, _cut_state, _cut_from_before])
def test_a_damaged_checkpoint_is_refused_with_a_way_out(
    hurt: Damage, trial: tuple[TrialOrder, Path], tmp_path: Path
) -> None:
    newest = complete(trial[1])[-1]
    hurt(newest)
    doors: tuple[Callable[[], Any], ...] = (
        lambda: export(newest, tmp_path, tmp_path / "best.pt"),
        lambda: draw(newest, tmp_path, tmp_path),
        lambda: evaluate(newest, tmp_path),
    )
    for door in doors:
        with pytest.raises(
            TrialError, match=r"must be whole to be read, .* restore it from a copy, take another"
        ):
            door()


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Limits the size of files that this process writes, which torch reports as it reports a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_does_not_fit_is_no_traceback_and_leaves_nothing(
    trial: tuple[TrialOrder, Path], world: ProcessGroup, full_disk: Callable[[int], None]
) -> None:
    order, folder = trial
    before = complete(folder)
    session = Session(order, world, DataCache())
    full_disk(2000)
    with pytest.raises(
        OutputError, match=r"checkpoints must be writable, got .*; free space and give the same"
    ) as caught:
        session.advance(192)
    full_disk(2**30)
    session.close()
    assert isinstance(caught.value.__cause__, RuntimeError)  # of torch, without a number
    assert caught.value.errno == errno.EFBIG
    assert complete(folder) == before
    assert incomplete(folder) == []
    (last,) = _advance(Session(order, world, DataCache()), 192, 256)
    assert last.done


def test_a_ctrl_c_in_a_checkpoint_stays_one_and_leaves_nothing(
    trial: tuple[TrialOrder, Path], world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, folder = trial
    true = files._sync_path

    def interrupted(path: Path) -> None:
        if not path.is_relative_to(folder):
            true(path)
            return
        try:
            raise OSError(errno.EINTR, "interrupted")
        except OSError:
            raise KeyboardInterrupt from None

    session = Session(order, world, DataCache())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "_sync_path", interrupted)
        session.advance(192)
    session.close()
    assert incomplete(folder) == []


def test_a_disk_that_was_full_a_moment_ago_was_full(tmp_path: Path) -> None:
    torn = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 128 vs 22")
    cause = cause_of(torn, tmp_path)
    assert cause is not None and cause.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
    assert cause_of(RuntimeError("mat1 and mat2 must have the same dtype"), tmp_path) is None
    assert cause_of(ConnectionResetError(errno.ECONNRESET, "reset"), tmp_path) is None
    chained = RuntimeError("could not write")
    chained.__cause__ = OSError(errno.EDQUOT, "quota exceeded")
    assert cause_of(chained, tmp_path) is chained.__cause__


def test_what_was_left_half_written_is_deleted_at_the_next_start(
    trial: tuple[TrialOrder, Path], world: ProcessGroup
) -> None:
    order, folder = trial
    shutil.copytree(folder / "samples-000000000192", folder / ".samples-000000000256.partial")
    shutil.copytree(folder / "samples-000000000192", folder / "samples-000000000255")  # of an earlier version
    (folder / "samples-000000000255" / STATE).unlink()
    assert len(incomplete(folder)) == 2
    Session(order, world, DataCache()).close()
    assert incomplete(folder) == []
    assert len(complete(folder)) == 3


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    order: Orders, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    true = files._sync_path

    def sync(path: Path) -> None:
        synced.append(path)
        true(path)

    monkeypatch.setattr(files, "_sync_path", sync)
    place = Path(str(run(replace(order(), evaluations=(64,)))[-1].checkpoint))
    draft = place.with_name(f".{place.name}.partial")
    written = {draft / file.relative_to(place) for file in place.rglob("*")}
    assert written | {draft} <= set(synced)
    assert synced[-1] == place.parent


def test_an_archive_of_an_earlier_version_is_judged_wherever_a_bit_of_it_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "trial-00000" / "samples-000000000064"
    file = folder / WEIGHTS
    file.parent.mkdir(parents=True)
    weights = torch.arange(16.0)
    torch.save({"weights": weights}, file)
    state = TrainingState(Report(samples=64, samples_seen=64, value=0.5, metrics={}), {}, "lab", 0)
    (folder / STATE).write_text(json.dumps(asdict(replace(state, files={}))))
    _from_before(folder)
    whole = file.read_bytes()
    start = whole.index(weights.numpy().tobytes())
    assert newest_whole({folder.parent: {FROM_BEFORE}}, {}).folder == folder
    for position in range(len(whole)):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 128]) + whole[position + 1 :])
        found = newest_whole({folder.parent: {FROM_BEFORE}}, {})
        assert found.folder is None or not start <= position < start + 64, position
        assert bool(found.skipped) == (found.folder is None)
