"""What is said about a process that is gone, and what it leaves behind."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import pytest
from ray.core.generated import common_pb2
from ray.exceptions import ActorDiedError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

from thalweg.lanes.causes_of_death import (
    NO_MEMORY,
    PREEMPTED,
    WITHOUT_TRACE,
    Evidence,
    explain,
    num_oom_kills,
    read,
    traceback_of,
    word,
)
from thalweg.lanes.entrance import Coroner

# What Ray 2.60 says of an actor that SIGKILL, SIGSEGV or the kernel's lack of memory ended: the same of all.
VANISHED = (
    "The actor died unexpectedly before finishing this task.\n"
    "Worker exit type: SYSTEM_ERROR Worker exit detail: Worker unexpectedly exits with a connection error code 2. "
    "End of file. Some common causes include: (1) the process was killed by the OOM killer due to high memory usage, "
    "(2) ray stop --force was called, or (3) the worker crashed unexpectedly due to SIGSEGV or another error."
)
TERMINATED = (
    "The actor is dead because its worker process has died. Worker exit detail: Worker exits unexpectedly by a signal. "
    "SystemExit is raised (sys.exit is called). Exit code: 1. The process receives a SIGTERM."
)
LOST = "[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [192.0.2.2]:1"


def test_memory_is_named_only_where_somebody_counted_it() -> None:
    before = [Evidence(node="a", num_oom_kills=3), Evidence(node="b", num_oom_kills=3)]
    same, more = before[::-1], [before[0], Evidence(node="b", num_oom_kills=4)]
    elsewhere = [Evidence(node="c", num_oom_kills=9)] * 2
    assert explain({0: VANISHED}, before, same) == WITHOUT_TRACE
    assert explain({0: VANISHED}, before, more) == NO_MEMORY
    assert explain({0: VANISHED}, before, elsewhere) == WITHOUT_TRACE
    assert explain({0: VANISHED}, [Evidence()], [Evidence()]) == WITHOUT_TRACE
    assert "memory" not in WITHOUT_TRACE
    assert "9 (SIGKILL)" in WITHOUT_TRACE
    low = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
    assert explain({0: LOST, 1: low}, before, same) == NO_MEMORY


def test_the_worker_that_is_gone_is_the_reason_not_the_one_that_lost_it() -> None:
    assert explain({0: LOST, 1: TERMINATED}, [], []) == "it was ended by signal 15 (SIGTERM)"
    assert explain({0: LOST, 1: VANISHED}, [], []) == WITHOUT_TRACE
    assert explain({0: LOST}, [], []) == LOST
    assert explain({}, [], []) == "its processes are gone"


def test_an_unknown_error_is_its_last_line_and_not_too_long() -> None:
    assert read("Traceback\n  there\nValueError: no\n\n") == "ValueError: no"
    assert read("Traceback\n  there\nthalweg.errors.LaneDiedError: a lane must live, got an end") == (
        "a lane must live, got an end"
    )
    assert len(read("x" * 1000)) < 320
    assert read("The actor died because its node has died. Node Id: 1") == "its machine is gone"


def test_a_node_that_ray_knows_to_be_preempted_is_the_reason() -> None:
    messages: Any = common_pb2  # made at run time, so that no type checker knows what it holds
    info = messages.NodeDeathInfo(reason=messages.NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)
    text = "its node has died"
    died = messages.ActorDiedErrorContext(actor_id=b"1" * 16, error_message=text, node_death_info=info)
    known = ActorDiedError(died)
    assert known.preempted
    box = Box()
    lost = RuntimeError(LOST)
    Coroner(box).after_exception(None, {0: lost, 1: WorkerHealthCheckFailedError("it is late", known)})
    assert explain(box.said, [], []) == PREEMPTED
    Coroner(box).after_exception(None, {0: lost})
    assert explain(box.said, [], []) == LOST


class Box:
    """A lane's channel that keeps what it is told."""

    said: Mapping[int, str]

    @property
    def lose(self) -> Self:
        """The method, as Ray offers it."""
        return self

    def remote(self, said: Mapping[int, str]) -> None:
        """Takes what is said."""
        self.said = said


@pytest.mark.parametrize(
    ("causes", "expected"),
    [
        ([WITHOUT_TRACE], "infrastructure"),
        (["it was ended by signal 15 (SIGTERM)", NO_MEMORY], "out_of_memory"),
        ([PREEMPTED, PREEMPTED], "preempted"),
        ([PREEMPTED, WITHOUT_TRACE], "infrastructure"),
        ([], "infrastructure"),
    ],
)
def test_the_word_for_a_loss_follows_from_its_causes(causes: list[str], expected: str) -> None:
    assert word(causes) == expected


_ENDS_ITSELF = """
import os, signal, sys
from pathlib import Path
from thalweg.lanes.causes_of_death import leave_evidence
leave_evidence(Path(sys.argv[1]))
def in_the_middle(): os.kill(os.getpid(), int(sys.argv[2]))
in_the_middle()
"""


@pytest.mark.parametrize(
    ("number", "name"), [(11, "SIGSEGV"), (6, "SIGABRT"), (7, "SIGBUS"), (8, "SIGFPE"), (4, "SIGILL")]
)
def test_a_process_leaves_the_signal_that_ended_it_and_where_it_was(
    number: int, name: str, tmp_path: Path
) -> None:
    trace = tmp_path / "lanes" / "trace.txt"
    done = subprocess.run(
        [sys.executable, "-c", _ENDS_ITSELF, str(trace), str(number)], capture_output=True, check=False
    )
    assert done.returncode == -number
    before = [None, Evidence(trace=str(trace))]
    assert explain({0: VANISHED}, before, []) == f"it was ended by signal {number} ({name})"
    assert "in_the_middle" in traceback_of(before)
    assert not trace.exists()


def test_a_trace_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code = "import sys; from pathlib import Path; from thalweg.lanes.causes_of_death import leave_evidence; "
    code += "print(repr(leave_evidence(Path(sys.argv[1])).trace))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file" / "trace.txt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "''"


def test_kills_for_lack_of_memory_are_counted_where_the_kernel_counts_them(tmp_path: Path) -> None:
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    assert num_oom_kills(proc, mounted) is None
    (proc / "self").mkdir(parents=True)
    (proc / "vmstat").write_text("nr_free_pages 1\noom_kill 7\n")
    assert num_oom_kills(proc, mounted) == 7
    (proc / "self" / "cgroup").write_text("4:memory:/job\n0::/slice/job\n")
    (mounted / "memory" / "job").mkdir(parents=True)
    (mounted / "memory" / "job" / "memory.oom_control").write_text("under_oom 0\noom_kill 5\n")
    assert num_oom_kills(proc, mounted) == 5
    (mounted / "slice" / "job").mkdir(parents=True)
    (mounted / "slice" / "job" / "memory.events").write_text("oom 4\noom_kill 2\noom_group_kill 0\n")
    (proc / "self" / "cgroup").write_text("0::/slice/job\n")
    assert num_oom_kills(proc, mounted) == 2
