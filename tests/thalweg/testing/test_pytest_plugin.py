"""The contract suite as a plugin of pytest, in a project of a user's own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch  # noqa: F401 - pytester forgets what was imported inside, and torch refuses to be imported twice

from thalweg.scaffold.new_family import write_family

pytest_plugins = ["pytester"]
PLUGIN = (
    "-p",
    "no:thalweg",
    "-p",
    "thalweg.testing.pytest_plugin",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
)


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a new family ``mire.pond``."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(pytester.path)
    write_family("pond", "mire")
    yield pytester.path
    for module in [name for name in sys.modules if name.partition(".")[0] == "mire"]:
        del sys.modules[module]


@pytest.mark.slow
def test_every_check_of_a_family_is_a_test(project: Path, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_own(): pass")
    result = pytester.runpytest_inprocess(*PLUGIN, "--thalweg-check", "mire.pond", "-v")
    result.assert_outcomes(passed=13)
    result.stdout.fnmatch_lines(["*mire.pond::tiny::presets_survive_json PASSED*"])


def test_settings_name_families_and_a_fault_is_a_sentence(project: Path, pytester: pytest.Pytester) -> None:
    file = project / "mire/pond/task.py"
    file.write_text(file.read_text().replace(".square().sum()}", ".square().mean()}", 1))
    pytester.makeini("[pytest]\nthalweg_check = mire.pond\n")
    result = pytester.runpytest_inprocess(*PLUGIN, "-k", "losses or knob")
    result.assert_outcomes(passed=1, failed=1, deselected=10)
    result.stdout.fnmatch_lines(["a part of a loss must be a sum over samples, got a mean, *"])
    assert "Traceback" not in result.stdout.str()


def test_settings_hold_wherever_in_the_project_pytest_is_called(
    project: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nthalweg_check = mire.pond\n")
    (project / "tests").mkdir()
    (project / "tests/test_own.py").write_text("def test_own(): pass\n")
    monkeypatch.chdir(project / "tests")
    result = pytester.runpytest_inprocess(*PLUGIN, "-k", "losses or test_own", "--rootdir", str(project), ".")
    result.assert_outcomes(passed=2, deselected=11)


def test_a_family_that_is_not_there_is_refused(project: Path, pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess(*PLUGIN, "--thalweg-check", "pond")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --thalweg-check pond: no family 'pond' *did you mean 'mire.pond'*"])
