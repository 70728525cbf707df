"""Empty values of options and arguments, which would be taken as not given."""

from collections.abc import Callable
from typing import Any

import pytest
import typer
from recorded import RecordedStudy
from refused import refusal
from typer.testing import Result

from thalweg.cli.app import app


def _taking_values() -> list[tuple[list[str], str]]:
    """Every option of every command that takes a value, and every argument, which has no name."""
    found: list[tuple[list[str], str]] = []

    def walk(command: Any, words: list[str]) -> None:
        for name, below in getattr(command, "commands", {}).items():
            walk(below, [*words, name])
        if not hasattr(command, "commands"):
            found.extend(
                (words, option.opts[0]) for option in command.params if not getattr(option, "is_flag", False)
            )

    walk(typer.main.get_command(app), [])
    return [(words, name if name.startswith("-") else "") for words, name in found if name != "--help"]


@pytest.mark.parametrize("given", [["--trials", ""], ["--trials", " "], ["--trials="], ["--as", ""], [""]])
def test_an_empty_value_is_not_taken_as_none(run: Callable[..., Result], given: list[str]) -> None:
    told = refusal(run("confirm", "rivers", *given))
    value = " " if " " in given else ""
    shown = f"{given[0].rstrip('=')} {value!r}" if given != [""] else "'' as an argument"
    assert f"options and arguments must have a value, got {shown}; leave it out for the default" in told


@pytest.mark.slow
def test_no_option_or_argument_of_any_command_may_be_empty(run: Callable[..., Result]) -> None:
    every = _taking_values()
    assert {("confirm", "--trials"), ("confirm", "--as"), ("show", ""), ("import", "--as")} <= {
        (words[-1], name) for words, name in every
    }
    for words, name in every:
        result = run(*words, *filter(None, [name]), "")
        assert result.exit_code == 2 and "options and arguments must have a value" in result.stderr, (
            words,
            name,
        )


@pytest.mark.slow
@pytest.mark.parametrize("words", [["confirm", "rivers"], ["compare", "rivers"]])
def test_trials_must_be_numbers(run: Callable[..., Result], words: list[str]) -> None:
    RecordedStudy(trials=[({"width": 4, "lr": 1e-2}, (0.5,)), ({"width": 8, "lr": 1e-2}, (0.4,))]).write(
        "rivers"
    )
    for given in (",", "a", "1;2"):
        result = run(*words, "--trials", given)
        assert result.exit_code == 2 and f"such as 4,15,1, got {given!r}" in result.stderr, result.output
