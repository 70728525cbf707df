"""The loss is looked at a step late, and yet nothing is evaluated or saved after one that is not finite."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from families.toy.task import Waves
from tests.thalweg.training.conftest import Orders, order_in
from tests.workers import on_workers
from thalweg.errors import NonFiniteDataError, NonFiniteError
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.session import DataCache, Session
from thalweg.training.transfer import Arriving


def test_numbers_arrive_as_they_were() -> None:
    values = {"first": torch.tensor(1 / 3).double(), "second": torch.tensor(float("nan")).double()}
    found = Arriving(values).read()
    assert found["first"] == float(values["first"])
    assert found["second"] != found["second"]


def test_each_loss_is_read_once_the_next_step_is_queued(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(order(), world, DataCache())
    happened: list[str] = []

    def noted(target: Any, name: str, word: str) -> None:
        real = getattr(target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            happened.append(word)
            return real(*args, **kwargs)

        monkeypatch.setattr(target, name, call)

    noted(Arriving, "read", "read")
    noted(session._engine, "step", "step")
    noted(session, "_evaluate", "evaluate")
    session.advance()  # 64 samples are 8 steps
    session.close()
    assert happened == ["step", *["step", "read"] * 7, "read", "evaluate"]


@pytest.mark.slow
@pytest.mark.parametrize("stages", ["one", "two", "joint"])
def test_nothing_is_evaluated_or_saved_after_a_last_step_whose_loss_is_not_finite(
    stages: str, order: Orders, world: ProcessGroup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluations: list[int] = []
    session = Session(order(stages=stages, breaks_at=184), world, DataCache())
    real = session._evaluate

    def evaluate(*keep: Any) -> dict[str, float]:
        evaluations.append(session._loop.samples)
        return real(*keep)

    monkeypatch.setattr(session, "_evaluate", evaluate)
    reached = session.advance().samples
    reached = session.advance(reached).samples
    with pytest.raises(NonFiniteError, match=r"loss must stay finite, got .*nan.* after 184 samples"):
        session.advance(reached)
    session.close()
    assert max(evaluations) == 128
    folders = list((tmp_path / "checkpoints" / "trial").glob("samples-*"))
    assert [folder.name for folder in folders] == ["samples-000000000128"]


def test_the_end_of_a_stage_is_not_evaluated_after_a_loss_that_is_not_finite(
    order: Orders, world: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stages change at 128, between the evaluations at 64 and 192.
    knobs = order(stages="two", breaks_at=120)
    session = Session(type(knobs)(**{**vars(knobs), "evaluations": (64, 192, 256)}), world, DataCache())
    session.advance()
    monkeypatch.setattr(session, "_evaluate", lambda: pytest.fail("evaluated a model that is not finite"))
    with pytest.raises(NonFiniteError, match="after 120 samples"):
        session.advance(64)
    session.close()


def stops(folder: Path) -> list[str]:
    """Why a trial stopped under both ZeRO stages, of which the last worker meets samples that are not finite."""
    world, found = join(), []
    for host in (None, dist.new_group(backend="gloo")):
        assert not isinstance(host, int)  # torch's number for a process outside a group
        joined = ProcessGroup(world.rank, world.size, world.device, host)
        assert joined.sum(torch.tensor([world.rank + 1])).tolist() == [3]
        assert joined.largest(float(world.rank)) == 1 and not joined.all_agree(world.rank == 0)
    for zero_stage in (1, 3):
        order = order_in(folder, f"trial-{zero_stage}", opt={"zero_stage": zero_stage})
        session = Session(order, world, DataCache())
        reached = session.advance().samples
        if world.rank == 1:
            assert isinstance(session.data, Waves)
            session.data.inputs[:] = float("nan")
        try:
            session.advance(reached)
        except NonFiniteDataError as error:
            found.append(str(error))
        session.close()
    return found


@pytest.mark.integration
def test_both_workers_stop_where_the_samples_of_one_are_not_finite(tmp_path: Path) -> None:
    found = on_workers(2, stops, tmp_path)
    ways_out = ("which are not finite on another worker", "inputs[0, 0] of batch 0 is nan")
    for said, way_out in zip(found, ways_out, strict=True):
        assert len(said) == 2  # under both ZeRO stages
        assert all(stop.startswith("the loss must stay finite") for stop in said)
        assert all("after 64 samples" in stop and way_out in stop for stop in said)
