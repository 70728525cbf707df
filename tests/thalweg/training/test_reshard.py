"""A trial goes on with another number of workers than began it."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.thalweg.training.conftest import Orders, Run
from thalweg.errors import ConfigError
from thalweg.training import reshard
from thalweg.training.process_group import World
from thalweg.training.session import DataCache, Session

TWO_WORKERS = """
import pickle, sys
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session
world = join()
for order in pickle.load(open(sys.argv[1], "rb")):
    session = Session(order, world, DataCache())
    assert session.advance(64).samples == 128
    session.close()
"""


@pytest.mark.slow
def test_one_two_and_one_worker_train_like_one(order: Orders, run: Run, world: World, tmp_path: Path) -> None:
    orders = [
        order(f"{stages}-{zero}", stages=stages, opt={"zero_stage": zero})
        for zero in (0, 1, 2)
        for stages in ("one", "two")
    ]
    for cut in orders:
        session = Session(cut, world, DataCache())
        session.advance()
        session.close()
    (tmp_path / "orders").write_bytes(pickle.dumps(orders))
    (tmp_path / "two.py").write_text(TWO_WORKERS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, str(tmp_path / "two.py"), str(tmp_path / "orders")], check=True, timeout=300)
    for cut in orders:
        whole = run(replace(cut, trial=f"whole-{cut.trial}"))
        session = Session(cut, world, DataCache())
        assert session.last is not None and session.last.samples == 128
        assert session.last.value == pytest.approx(whole[1].value, rel=1e-6)
        assert session.advance(128).value == pytest.approx(whole[2].value, rel=1e-6)
        session.close()


def test_parts_of_weights_need_the_workers_that_wrote_them(tmp_path: Path) -> None:
    for rank in (0, 1, 10):
        (tmp_path / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    assert [file.name.split("_")[3] for file in reshard.shards(tmp_path)] == ["0", "1", "10"]
    reshard.require_loadable(tmp_path, 3, 3)
    reshard.require_loadable(tmp_path, 2, 2)
    with pytest.raises(
        ConfigError, match=r"zero_stage 3 must be loaded by the 3 workers that wrote it, got 2; "
    ):
        reshard.require_loadable(tmp_path, 3, 2)
