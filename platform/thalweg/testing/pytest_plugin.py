"""A pytest plugin: ``pytest --thalweg-check my_lab.lakes`` runs the contract suite on a family, beside other tests.

A project that always checks its families says so in its pytest settings::

    [tool.pytest.ini_options]
    thalweg_check = ["my_lab.lakes"]

Packages are looked for in pytest's root folder. Every preset whose name begins with ``tiny`` is checked, or the first
one; a fault is reported as a sentence. What is heavy is imported when families are collected, for the plugin is loaded
wherever Thalweg is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from thalweg.testing.suite import Check, Subject


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds options and settings."""
    group = parser.getgroup("thalweg", "contract suite of Thalweg's families")
    group.addoption(
        "--thalweg-check",
        action="append",
        default=[],
        metavar="FAMILY",
        help="check a family by the contract suite; repeat it",
    )
    group.addoption("--thalweg-data", type=Path, metavar="FOLDER", help="folder of all data")
    parser.addini("thalweg_check", "families that the contract suite checks", type="args", default=[])
    parser.addini(
        "thalweg_ignore", "tensors that may be equal in samples of two splits", type="args", default=[]
    )


@pytest.hookimpl(tryfirst=True)  # -k and -m choose among these tests, too
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Adds a test for each check of each family."""
    asked = [*config.getini("thalweg_check"), *config.getoption("--thalweg-check")]
    for name in dict.fromkeys(asked):
        items.extend(_tests(session, config, name))


def _tests(session: pytest.Session, config: pytest.Config, name: str) -> Iterator[pytest.Item]:
    from thalweg.discovery import load_family
    from thalweg.errors import ThalwegError

    try:
        with chdir(config.rootpath):  # wherever in the project pytest is called
            family = load_family(name)
        from thalweg.testing.suite import CHECKS
        from thalweg.testing.verdicts import presets_to_check, subject_of

        presets = presets_to_check(family)
    except ThalwegError as error:
        raise pytest.UsageError(f"--thalweg-check {name}: {error}") from None
    ignore = frozenset(config.getini("thalweg_ignore"))
    for preset in presets:
        opening = subject_of(family, preset, config.getoption("--thalweg-data"), ignore)
        group = _Preset.from_parent(session, name=preset, nodeid=f"{name}::{preset}", opening=opening)
        for check in CHECKS:
            yield _Test.from_parent(group, name=check.__name__, check=check)


class _Preset(pytest.Collector):
    """A preset of a family; its data set is there from the first to the last of its tests."""

    def __init__(self, *, opening: AbstractContextManager[Subject], **node: Any) -> None:
        super().__init__(**node)
        self._opening = opening
        self.subject: Subject | None = None

    def collect(self) -> list[pytest.Item]:
        """Collects nothing: the plugin made the tests already."""
        return []

    def setup(self) -> None:
        """Makes or finds the data set."""
        self.subject = self._opening.__enter__()
        self.addfinalizer(self._close)

    def _close(self) -> None:
        self.subject = None
        self._opening.__exit__(None, None, None)


class _Test(pytest.Item):
    """One check of one preset."""

    def __init__(self, *, check: Check, **node: Any) -> None:
        super().__init__(**node)
        self._check = check

    def runtest(self) -> None:
        """Runs the check."""
        from thalweg.testing.verdicts import judged

        assert isinstance(self.parent, _Preset) and self.parent.subject is not None
        verdict = judged(self._check, self.parent.subject)
        if verdict.fault:
            pytest.fail(verdict.fault, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Returns what a report calls the test."""
        return self.path, None, self.name
