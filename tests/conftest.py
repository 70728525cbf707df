"""What all tests share: a quiet, reproducible environment and one real Ray."""

import atexit
import collections
import functools
import gc
import logging
import os
import random
import re
import resource
import secrets
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

if TYPE_CHECKING:
    from _typeshed import HasFileno
    from xdist.remote import Producer
    from xdist.scheduler.protocol import Scheduling

TESTS = Path(__file__).parent / "plugins"

hypothesis.settings.register_profile(
    "thalweg",
    deadline=None,  # two shared cores: time says nothing about correctness
    derandomize="CI" in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile("quick", hypothesis.settings.get_profile("thalweg"), max_examples=25)

# A variable of the developer's own sessions must not steer a test.
_FOREIGN = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
    "RAY_ADDRESS",
    "THALWEG_DATA",
    "THALWEG_STORE",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the one way to write the golden numbers of tests/test_golden.py anew."""
    parser.addoption(
        "--write-golden", action="store_true", help="write tests/golden anew and compare nothing"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Sets what must be known before torch, Ray or MLflow are imported, here and in their workers."""
    # While one works, a quarter of the examples of each property does, and calls are not checked, a fifth of the time.
    is_quick = "not slow" in config.option.markexpr
    hypothesis.settings.load_profile("quick" if is_quick else "thalweg")
    _check_shapes_where_there_are_arrays(calls=not is_quick)
    for name in _FOREIGN:
        os.environ.pop(name, None)
    # No test pulls the plug, and thousands of waits for the disk take a tenth of the time.
    os.fsync = _accepted
    sqlite3.dbapi2.connect = _connected_without_waits  # type: ignore[assignment]
    os.environ["THALWEG_CACHE"] = os.devnull  # a test that remembers does so in a folder of its own
    # Without bytecode every worker process compiles torch and DeepSpeed again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # The families of the tests, here and in worker processes.
    sys.path.append(str(TESTS))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH", "")]))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch's threads: reproducible, and no fight for cores
    # Under `uv run` Ray would copy the folder and install everything again for each set of workers.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's workers would give way to the other tests, and make those of Ray wait.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Each lane would start one more process, to look for machines that a cloud is about to take away.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Ray would write a token into the home folder; this one ends with the test session.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _accepted(fd: "int | HasFileno") -> None:
    """Refuses what `os.fsync` refuses of a file that is not open, and waits for nothing."""
    os.fstat(fd if isinstance(fd, int) else fd.fileno())


def _connected_without_waits(*arguments: Any, **named: Any) -> sqlite3.Connection:
    """Opens an SQLite database as SQLAlchemy does, for Optuna and MLflow, without waits for the disk."""
    connection: sqlite3.Connection = sqlite3.connect(*arguments, **named)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _keep_bytecode_of_others() -> None:
    """Keeps jaxtyping's mark off the bytecode of what thalweg imports.

    Its loader marks all that is compiled while a module runs, and so would compile torch, Ray and MLflow again, which
    are there compiled.
    """
    from jaxtyping import _import_hook

    loader, compiled = _import_hook._JaxtypingLoader, SourceFileLoader.get_code

    def get_code(self: Any, name: str) -> Any:
        marked = functools.partial(_import_hook._optimized_cache_from_source, self._typechecker.get_hash())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("importlib._bootstrap_external.cache_from_source", marked)
            return compiled(self, name)

    loader.get_code = get_code  # type: ignore[method-assign,assignment]
    loader.exec_module = SourceFileLoader.exec_module  # type: ignore[method-assign]


_keep_bytecode_of_others()


def _check_shapes_where_there_are_arrays(*, calls: bool) -> None:
    """Lets the import hook put the tests' own decorator before each function, or one that checks no calls."""
    import jaxtyping
    from runtime_types import jaxtyped, unchecked

    jaxtyping.jaxtyped = jaxtyped if calls else unchecked  # type: ignore[assignment]


def pytest_collection_finish() -> None:
    """Lets the process end with a collection of everything; see `_leave_imports_out_of_collections`."""
    atexit.register(gc.unfreeze)


def pytest_runtest_setup() -> None:
    """Freezes what collection and earlier tests imported."""
    _leave_imports_out_of_collections(len(sys.modules))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Freezes what fixtures imported."""
    _leave_imports_out_of_collections(len(sys.modules))


@functools.lru_cache(maxsize=1)
def _leave_imports_out_of_collections(num_modules: int) -> None:
    """Leaves all that lives out of later collections: hundreds of thousands of objects, a million in the whole suite.

    Each engine that is released, and each start of ZeRO 3, makes a collection, which takes up to half a second else.
    Where tests let no collections happen, nothing need be left out of them.

    Args:
        num_modules: Number of imported modules; as long as it stays there is nothing to do.
    """
    if gc.isenabled():
        gc.collect()
        gc.freeze()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The whole suite uses the cores of the machine; a part of it begins sooner in one process.

    The process with the tests of Ray waits for Ray's workers half of its time: another one has the core meanwhile.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    waiting = "not integration" not in config.option.markexpr
    return min((os.cpu_count() or 1) + waiting, 4) if whole else 0


_BY_FAMILY = "tests/test_half_precision.py"
"""A module that takes many minutes; a process gets its tests of a family, which share a world."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "Scheduling":
    """Keeps a module in one process, for its fixtures, and all modules that use Ray in one, for there is one Ray."""
    from xdist.scheduler import LoadScopeScheduling

    class OneRay(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            module, _, test = nodeid.partition("::")
            of_family = re.search(r"\[(\w+)-", test) if module == _BY_FAMILY else None
            return _process_of(config.rootpath / module) + (of_family[1] if of_family else "")

    return OneRay(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts modules with many slow tests first where several processes share them, so that all end at the same time.

    What shares the one Ray takes longest and begins before them.
    """
    if not hasattr(config, "workerinput"):
        return
    slow = collections.Counter(item.path for item in items if any(map(item.get_closest_marker, _LONG)))
    items.sort(key=lambda item: (_process_of(item.path) != "ray", -slow[item.path]))


_LONG = ("slow", "integration")


@functools.cache
def _process_of(module: Path) -> str:
    uses_ray = module.parent.name == "integration" or "ray_address" in module.read_text(encoding="utf-8")
    return "ray" if uses_ray else str(module)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Seeds the global generators of every library that the test has imported."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        # `torch.manual_seed` writes down a traceback for each kind of device that is not here.
        sys.modules["torch"].default_generator.manual_seed(0)


class _Messages(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a message."""
        self.said.append(record.getMessage())


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The warnings that are logged during the test.

    pytest's own fixture looks through all loggers three times a test, and Ray, MLflow and torch have a thousand.
    """
    handler = _Messages()
    logging.getLogger().addHandler(handler)
    yield handler.said
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def room() -> Callable[[int], AbstractContextManager[None]]:
    """Lets files grow to so many bytes and no further, as a full disk does: a write is cut short, then refused."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        # Python ignores the signal that comes with it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="module")
def fp16_everywhere() -> Iterator[None]:
    """Lets processors without arithmetic in fp16 take torch's slower kernels, which round alike."""
    from thalweg.training.engine.quiet_deepspeed import deepspeed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deepspeed.accelerator.get_accelerator(), "is_fp16_supported", lambda: True)
        yield


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """Starts a Ray of its own with 4 logical CPUs and yields its address; stops only what it started.

    The dashboard process is part of it: without it Ray's state API, which tests ask, does not answer. RAY_ADDRESS
    points every client at this Ray, whatever else runs here.
    """
    import ray

    from thalweg.lanes import cluster, private_ray
    from thalweg.lanes.forking import forked_workers

    folder = tempfile.mkdtemp(prefix="tw-", dir="/tmp")  # a socket's path may have 107 characters
    cluster.prepare_environment()  # which Tune sends along with each worker
    with forked_workers.serving() as executed:
        with private_ray.workers_executed_by(executed):
            ray.init(
                address="local",
                num_cpus=4,
                num_gpus=0,
                include_dashboard=True,
                log_to_driver=False,
                object_store_memory=256 * 2**20,
                _temp_dir=folder,
            )
        address: str = ray.get_runtime_context().gcs_address
        os.environ["RAY_ADDRESS"] = address
        yield address
        os.environ.pop("RAY_ADDRESS", None)
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _no_worker_is_prepared() -> Iterator[None]:
    """Keeps commands that run in this process from importing torch once more, for a Ray that most never start."""
    from thalweg.lanes import cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "warm_up", lambda: None)
        yield
