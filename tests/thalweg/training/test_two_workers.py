"""Two workers train one model: batch norms, other buffers, uneven shares, gradient descent."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.thalweg.training.conftest import order_in
from tests.thalweg.training.two_workers import Kind, Result, Run, network, train
from thalweg.training.process_group import ProcessGroup
from thalweg.training.session import DataCache, Session

pytestmark = pytest.mark.slow

Pair = tuple[Result, Result]
HALVES = ("fp32", "bf16")
SGD = {"optimizer": "sgd", "lr": 0.05, "weight_decay": 1e-3}
UNEVEN_NORMS: tuple[Kind, ...] = ("plain", "sync")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of this module lie."""
    return tmp_path_factory.mktemp("two-workers")


def _run(folder: Path, name: str, kind: Kind = "toy", *, opt: dict[str, Any], **knobs: Any) -> Run:
    where = {name: knobs.pop(name) for name in ("reached", "until") if name in knobs}
    optimization = {"batch_size": 16} | opt
    return Run(order=order_in(folder, name, opt=optimization, **knobs), kind=kind, **where)


def _normed(folder: Path) -> dict[str, Run]:
    runs = {}
    for precision in HALVES:
        for zero in (1, 3):
            opt = {"precision": precision, "zero_stage": zero, "micro_batch_size": 4}
            name = f"whole-{precision}-{zero}"
            runs[name] = _run(folder, name, "plain", opt=opt)
            cut = f"cut-{precision}-{zero}"
            runs[cut] = _run(folder, cut, "plain", opt=opt, until=64)
            runs[f"rest-{precision}-{zero}"] = _run(folder, cut, "plain", opt=opt, reached=64)
        opt = {"precision": precision}
        runs[f"sync-{precision}"] = _run(folder, f"sync-{precision}", "sync", opt=opt)
    opt = {"batch_size": 16, "micro_batch_size": 2}
    runs["sync-joint"] = _run(folder, "sync-joint", "sync", opt=opt, stages="joint")
    for kind in UNEVEN_NORMS:
        runs[f"{kind}-13"] = _run(folder, f"{kind}-13", kind, opt={"batch_size": 13})
    return runs


def _uneven(folder: Path) -> dict[str, Run]:
    runs = {}
    for stages in ("one", "joint"):
        for zero in (1, 3):
            name = f"uneven-{stages}-{zero}"
            opt = {"batch_size": 13, "micro_batch_size": 4, "zero_stage": zero}
            runs[name] = _run(folder, name, opt=opt, stages=stages)
    return runs


def _descent(folder: Path) -> dict[str, Run]:
    runs = {}
    for precision in HALVES:
        for zero in (0, 1, 2, 3):
            opt = SGD | {"precision": precision, "zero_stage": zero}
            name = f"sgd-{precision}-{zero}"
            if zero < 3:
                runs[f"taken-over-{precision}-{zero}"] = _run(folder, f"begun-{name}", opt=opt, reached=64)
            runs[name] = _run(folder, name, opt=opt)
    return runs


@pytest.fixture(scope="module")
def both(folder: Path, world: ProcessGroup) -> Mapping[str, Pair]:
    """What each of two workers made of all runs, by name; some of them were begun by one worker."""
    runs = _normed(folder) | _uneven(folder) | _descent(folder)
    for name, run in runs.items():
        if name.startswith("taken-over"):
            train(replace(run, reached=0, until=64), world)
    (folder / "runs").write_bytes(pickle.dumps(runs))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = ["-m", "tests.thalweg.training.two_workers", str(folder)]
    root = Path(__file__).parents[3]
    subprocess.run([*launch, *module], check=True, timeout=500, cwd=root)
    first, second = (pickle.loads((folder / f"rank-{rank}").read_bytes()) for rank in (0, 1))
    return {name: (Result(**first[name]), Result(**second[name])) for name in runs}


@pytest.fixture
def alone(folder: Path, world: ProcessGroup) -> Callable[..., Result]:
    """Trains one run on one worker."""

    def trained(name: str, kind: Kind = "toy", *, opt: dict[str, Any], **knobs: Any) -> Result:
        return train(_run(folder, name, kind, opt=opt, **knobs), world)

    return trained


def _near(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], rtol: float, atol: float) -> None:
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=rtol, atol=atol, msg=name)


every_run = pytest.mark.parametrize("run", [f"{half}-{zero}" for half in HALVES for zero in (1, 3)])


@every_run
def test_all_workers_hold_one_model(run: str, both: Mapping[str, Pair]) -> None:
    first, second = both[f"whole-{run}"]
    assert first.metrics == second.metrics
    for name, value in first.joined.items():
        assert torch.equal(value, second.joined[name]), name
    moved = {name for name, value in first.apart.items() if not torch.equal(value, second.apart[name])}
    assert moved == {name for name in first.apart if "num_batches" not in name}  # they were different


@every_run
def test_running_statistics_are_pooled(run: str, both: Mapping[str, Pair]) -> None:
    """Against the mean and variance of a mixture of two sets of equal size."""
    pair = both[f"whole-{run}"]
    joined = pair[0].joined
    for name in (name for name in joined if name.endswith("running_mean")):
        means = torch.stack([one.apart[name] for one in pair]).double()
        variances = torch.stack([one.apart[name.replace("mean", "var")] for one in pair]).double()
        variance = variances.mean(0) + means.var(0, correction=0)
        torch.testing.assert_close(joined[name].double(), means.mean(0), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(
            joined[name.replace("mean", "var")].double(), variance, rtol=1e-6, atol=1e-7
        )


@every_run
def test_other_buffers_are_the_first_workers(run: str, both: Mapping[str, Pair]) -> None:
    first, second = both[f"whole-{run}"]
    assert int(first.apart["model.counted"]) == 8 and int(second.apart["model.counted"]) == 16  # 4 steps of 2
    assert int(first.joined["model.counted"]) == int(second.joined["model.counted"]) == 8
    for one in (first, second):
        assert one.joined["model.flags"].tolist() == [True, False, False]


@every_run
def test_a_checkpoint_of_two_workers_is_gone_on_from_bit_for_bit(run: str, both: Mapping[str, Pair]) -> None:
    for whole, cut, rest in zip(*(both[f"{part}-{run}"] for part in ("whole", "cut", "rest")), strict=True):
        assert cut.metrics + rest.metrics == whole.metrics
        for name, value in whole.state.items():
            assert torch.equal(rest.state[name], value), name


@pytest.mark.parametrize("precision", HALVES)
def test_one_worker_evaluates_the_model_of_two_alike(
    precision: str, both: Mapping[str, Pair], folder: Path, world: ProcessGroup
) -> None:
    """Whichever worker evaluates a sample: batches are cut otherwise, which changes the last bits."""
    whole, _ = both[f"whole-{precision}-1"]
    with network("plain"):
        opt = {"precision": precision, "zero_stage": 1, "micro_batch_size": 4}
        session = Session(_run(folder, f"whole-{precision}-1", opt=opt).order, world, DataCache())
        metrics = session._evaluate()
        kept = dict(session._module.model.named_buffers())
        session.close()
    assert metrics == pytest.approx(whole.metrics[-1], rel=1e-5)
    for name in kept:
        torch.testing.assert_close(kept[name].to(whole.state[name].dtype), whole.state[name], rtol=0, atol=0)


@pytest.mark.parametrize(("precision", "rtol"), [("fp32", 1e-4), ("bf16", 0.03)])
def test_synchronised_norms_make_two_workers_train_like_one(
    precision: str, rtol: float, both: Mapping[str, Pair], alone: Callable[..., Result]
) -> None:
    first, second = both[f"sync-{precision}"]
    one = alone(f"one-{precision}", "plain", opt={"precision": precision})
    assert first.metrics[-1] == pytest.approx(one.metrics[-1], rel=rtol, abs=rtol)
    statistics = [name for name in one.state if "running" in name or "num_batches" in name]
    assert statistics
    for found in (first, second):
        _near(
            {name: found.state[name] for name in statistics},
            {name: one.state[name] for name in statistics},
            rtol,
            rtol,
        )
    for name, value in first.apart.items():
        if "running" in name:
            assert torch.equal(value, second.apart[name])  # without any pooling


def test_workers_of_uneven_shares_count_by_their_samples(
    both: Mapping[str, Pair], alone: Callable[..., Result]
) -> None:
    """The running means of the data themselves are those of one worker that sees whole batches."""
    one, pair = alone("plain-13-whole", "plain", opt={"batch_size": 13}), both["plain-13"]
    name = "model.body.0.1.running_mean"
    torch.testing.assert_close(pair[0].joined[name], one.joined[name], rtol=1e-6, atol=1e-7)
    plain = torch.stack([each.apart[name] for each in pair]).mean(0)
    assert (plain - one.joined[name]).abs().max() > 1e-4  # the control: both workers alike


def test_synchronised_norms_of_uneven_shares_are_those_of_the_whole_batch(
    both: Mapping[str, Pair], alone: Callable[..., Result]
) -> None:
    """Normalised by the biased variance, and remembered with the unbiased one, as torch's batch norm does."""
    one = alone("sync-13-whole", "plain", opt={"batch_size": 13})
    for found in both["sync-13"]:
        assert found.metrics[-1] == pytest.approx(one.metrics[-1], rel=1e-4, abs=1e-4)
        _near(found.state, one.state, 1e-4, 1e-4)


def test_synchronised_norms_take_both_passes_of_a_joint_loss_for_one(both: Mapping[str, Pair]) -> None:
    first, second = both["sync-joint"]
    assert first.metrics == second.metrics
    for name, value in first.apart.items():
        if "num_batches" in name:
            assert int(value) == 2 * 4 * 4  # both views, 4 micro-batches, 4 steps: once each
        elif "running" in name:
            assert torch.equal(value, second.apart[name])


@pytest.mark.parametrize("stages", ["one", "joint"])
@pytest.mark.parametrize("zero", [1, 3])
def test_uneven_shares_train_like_one_whole_batch(
    stages: str, zero: int, both: Mapping[str, Pair], alone: Callable[..., Result]
) -> None:
    one = alone(f"whole-{stages}-{zero}", opt={"batch_size": 13, "zero_stage": zero}, stages=stages)
    for found in both[f"uneven-{stages}-{zero}"]:
        assert [found.metrics[-1]] == [pytest.approx(one.metrics[-1], rel=1e-4)]
        _near(found.state, one.state, 1e-4, 1e-5)


@pytest.mark.parametrize(("precision", "rtol"), [("fp32", 1e-5), ("bf16", 2e-3)])
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_descent_on_two_workers_equals_that_on_one(
    precision: str, rtol: float, zero: int, both: Mapping[str, Pair], alone: Callable[..., Result]
) -> None:
    name = f"sgd-{precision}-{zero}"
    one = alone(f"one-{name}", opt=SGD | {"precision": precision, "zero_stage": zero})
    found = [both[name][0].metrics[-1]]
    if zero < 3:  # whose parts no other number of workers loads
        found.append(both[f"taken-over-{precision}-{zero}"][0].metrics[-1])
    for metrics in found:
        assert metrics == pytest.approx(one.metrics[-1], rel=rtol, abs=rtol)
