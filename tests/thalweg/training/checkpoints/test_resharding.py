"""A trial goes on with another number of workers than began it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from families.toy.config import Toy
from families.toy.task import SquaredErrors, ToyTask
from tests.thalweg.training.conftest import Orders, Run
from tests.workers import on_workers
from thalweg.config import Optimization
from thalweg.errors import ConfigError
from thalweg.stage_contract import Stage
from thalweg.training.checkpoints import resharding
from thalweg.training.engine import engine
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import ProcessGroup, join
from thalweg.training.sampling import Layout
from thalweg.training.session import DataCache, Session


def go_on(orders: Sequence[TrialOrder]) -> None:
    """Takes trials from their first evaluation to the second; every worker calls."""
    world = join()
    engine.warm_up()  # as a lane does: the collection after each trial leaves out what was imported
    for order in orders:
        session = Session(order, world, DataCache())
        assert session.advance(64).samples == 128
        session.close()


@pytest.mark.slow
def test_one_two_and_one_worker_train_like_one(order: Orders, run: Run, world: ProcessGroup) -> None:
    # The second of two stages begins after the first change of the number of workers.
    orders = [order(f"two-{zero}", stages="two", opt={"zero_stage": zero}) for zero in (0, 1, 2)]
    orders += [order(f"bf16-{zero}", opt={"zero_stage": zero, "precision": "bf16"}) for zero in (0, 1, 2)]
    for cut in orders:
        session = Session(cut, world, DataCache())
        session.advance()
        session.close()
    on_workers(2, go_on, orders)
    for cut in orders:
        whole = run(replace(cut, trial=f"whole-{cut.trial}"))
        # The gradient of each worker's samples is rounded for itself.
        rel = 2e-3 if cut.trial.startswith("bf16") else 1e-6
        session = Session(cut, world, DataCache())
        assert session.last is not None and session.last.samples == 128
        assert session.last.value == pytest.approx(whole[1].value, rel=rel)
        assert session.advance(128).value == pytest.approx(whole[2].value, rel=rel)
        session.close()


@pytest.mark.parametrize("zero_stage", [1, 2])
def test_an_optimizer_that_took_no_step_is_loaded(
    zero_stage: int, world: ProcessGroup, tmp_path: Path
) -> None:
    """In fp16 the loss scale may fall for as many steps as an evaluation takes."""
    task = ToyTask(Toy())
    knobs = Optimization(zero_stage=zero_stage, precision="bf16", batch_size=4)
    stage = Stage(loss=SquaredErrors(Toy()))
    begun, other = (
        engine.start(engine.TaskModule(task, task.build(None)), stage, knobs, Layout.of(4, None, 1))
        for _ in range(2)
    )
    begun.save_checkpoint(str(tmp_path), tag="weights")
    resharding.load(other, tmp_path / "weights", 0, 1)
    expected, found = engine.full_weights(begun), engine.full_weights(other)
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert not other.optimizer.state
    for started in (begun, other):
        engine.release(started)


def test_parts_of_weights_need_the_workers_that_wrote_them(tmp_path: Path) -> None:
    for rank in (0, 1, 10):
        (tmp_path / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    assert [file.name.split("_")[3] for file in resharding.shards(tmp_path)] == ["0", "1", "10"]
    resharding.require_loadable(tmp_path, 3, 3)
    resharding.require_loadable(tmp_path, 2, 2)
    with pytest.raises(
        ConfigError, match=r"zero_stage 3 must be loaded by the 3 workers that wrote it, got 2; "
    ):
        resharding.require_loadable(tmp_path, 3, 2)
