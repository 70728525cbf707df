"""What every worker sets before it computes, and that it needs no Ray."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.thalweg.training.conftest import Orders, Run
from thalweg.training.process_group import ProcessGroup


def test_a_gpu_would_choose_the_same_kernels_in_each_run(world: ProcessGroup) -> None:
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark


def test_fp32_is_not_rounded_and_the_records_say_so(world: ProcessGroup, order: Orders, run: Run) -> None:
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert run(order())[0].provenance["fp32_precision"] == "ieee"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_trials_on_a_gpu_are_equal_bit_for_bit(precision: str, order: Orders, run: Run) -> None:
    one, other = (run(order(trial, dropout=0.2, opt={"precision": precision})) for trial in "ab")
    assert [report.metrics for report in one] == [report.metrics for report in other]
    assert [report.curve for report in one] == [report.curve for report in other]


_WITHOUT_RAY = """
import atexit
import sys

import torch.distributed as dist

atexit.register(lambda: print("in a group at exit:", dist.is_initialized()))


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
started = []
sys.addaudithook(lambda event, words: started.append(words[0]) if event == "subprocess.Popen" else None)
from thalweg.training.messages import TrialOrder
from thalweg.training.process_group import join
from thalweg.training.session import DataCache, Session

order = TrialOrder(
    trial="alone",
    family="families.toy",
    config={},
    metric="mse",
    evaluations=(32, 64),
    data_root=sys.argv[1],
    directory=sys.argv[1],
)
session = Session(order, join(), DataCache())
report = session.advance(session.advance().samples)
session.close()
assert report.done and report.checkpoint
assert not any(name.split(".")[0] == "ray" for name in sys.modules)
assert not {"gcc", "cc", "c++", "g++"} & set(started), started
assert "torch._inductor.compile_fx" not in sys.modules
print("trained without ray")
"""


@pytest.mark.integration
def test_a_trial_runs_on_a_machine_without_ray_and_without_a_compiler(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WITHOUT_RAY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "trained without ray" in done.stdout
    assert "in a group at exit: False" in done.stdout  # threads of a group may abort the interpreter's end
