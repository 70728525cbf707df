"""A full disk is said in one line, whoever stumbles over it; Linux has one at /dev/full."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from thalweg.cli.app import Commands
from thalweg.files import is_full_disk

app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Commands that write."""


@app.command()
def write(file: Path) -> None:
    """Writes a file."""
    file.write_text("content")


@app.command()
def wrapped(file: Path) -> None:
    """Writes a file by a library that raises something else."""
    try:
        file.write_text("content")
    except OSError as error:
        raise RuntimeError("the archive was not finished") from error


@pytest.mark.parametrize("command", ["write", "wrapped"])
def test_a_command_on_a_full_disk_ends_with_one_line(command: str) -> None:
    result = CliRunner().invoke(app, [command, "/dev/full"])
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: a disk must have space, got ")
    assert line.endswith("free some and run the same command again")


def test_another_error_keeps_its_traceback(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["write", str(tmp_path)])
    assert isinstance(result.exception, IsADirectoryError)
    assert not is_full_disk(result.exception)
