"""What a command says when it ends badly, as several workers of a group do."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from thalweg.cli.app import app


def _said(study: str, rank: int, errors: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", errors)
    result = CliRunner().invoke(app, ["best", study, "--output", "nowhere"])
    assert result.exit_code == 2
    return result.stderr


def test_workers_say_an_error_once_and_name_themselves_if_theirs_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / str(rank) / "error.json" for rank in (0, 1, 2)]  # as a launcher of torch names them
    told = [
        _said(study, rank, str(files[rank]), monkeypatch)
        for study, rank in (("first", 1), ("first", 0), ("second", 2), ("second", 0))
    ]
    assert told[0].startswith("error: ") and "'first'" in told[0]
    assert told[2].startswith("error of worker 2: ") and "'second'" in told[2]
    assert told[1] == told[3] == ""


def test_who_says_the_first_error_for_another_worker_does_not_name_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one to end may not be the one that says it."""
    monkeypatch.chdir(tmp_path)
    files = [tmp_path / str(rank) / "error.json" for rank in (0, 1)]
    told = _said("first", 1, str(files[1]), monkeypatch)
    (claim,) = (file for file in tmp_path.glob("*.said") if file.name != "first.said")
    claim.unlink()
    assert _said("first", 0, str(files[0]), monkeypatch) == told


def test_an_error_is_said_where_workers_share_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for errors in ("", os.devnull, str(tmp_path / "gone/0/error.json")):
        assert _said("first", 1, errors, monkeypatch).startswith("error: ")
        assert _said("first", 0, errors, monkeypatch).startswith("error: ")
    assert not list(tmp_path.iterdir())
