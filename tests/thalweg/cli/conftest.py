"""Runs commands in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from thalweg.cli.app import app
from thalweg.events import Event


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    return run


class Deaf:
    """A recorder that tells MLflow nothing."""

    def __init__(self, uri: str, tell: Callable[[str], None]) -> None:
        assert uri

    def handle(self, event: Event) -> None:
        """Takes one event."""

    def close(self) -> None:
        """Nothing to deliver."""


@pytest.fixture
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a search the process that delivers to MLflow, which takes seconds, where its records are not read."""
    monkeypatch.setattr("thalweg.tracking.recorder.MLflowRecorder", Deaf)
