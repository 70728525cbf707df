"""The command line as a whole: its commands, and the exit codes of all of them.

What a command needs is imported when it runs, so that ``thalweg --help`` answers at once: torch, Ray, Optuna
and MLflow take seconds.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from thalweg.cli import (
    check,
    compare,
    confirm,
    data,
    look,
    new,
    register,
    report,
    reproduce,
    results,
    search,
    show,
    train,
)
from thalweg.cli.last_words import say_error
from thalweg.errors import ConfigError, ThalwegError
from thalweg.files import is_full_disk
from thalweg.lanes.interruption import ending_raises, is_worker, signal_of

_TRIALS = "--trials"
_TAKING_NUMBERS = ("compare", "confirm")  # of trials; elsewhere it is how many


class Commands(TyperGroup):
    """Prints an error that a user can mend in one line; any other keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; exits with 2 after an error that a user can mend, 130 after Ctrl-C, 143 after SIGTERM."""
        collects = gc.isenabled()
        try:
            with ending_raises():
                return super().invoke(ctx)
        except ThalwegError as error:
            say_error(str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt as error:
            if not is_worker():  # its launcher says so
                print("stopped", file=sys.stderr)
            raise typer.Exit(128 + signal_of(error)) from None
        except Exception as error:
            if not is_full_disk(error):
                raise
            say_error(f"a disk must have space, got {error}; free some and run the same command again")
            raise typer.Exit(2) from None
        finally:
            if collects:
                gc.enable()

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Finds a command; one that only reads runs without garbage collection, for it ends before there is any."""
        found = super().resolve_command(ctx, args)
        if found[0] in {command.__name__ for command in _SHORT}:
            gc.disable()
        return found


class StrictCommand(TyperCommand):
    """Refuses empty values, which would be taken as not given, or as the folder that one is in.

    Numbers of trials may be given as ``--trials 4 15 1``, and as ``--trials 4,15,1``.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses options and arguments.

        Raises:
            ConfigError: One is empty.
        """
        if self.name in _TAKING_NUMBERS:
            args = _with_numbers_joined(args)
        before = ""
        for word in args:
            option, sign, value = word.partition("=") if word.startswith("-") else (before, "=", word)
            if sign and not value.strip():
                shown = f"{option} {value!r}" if option.startswith("-") else f"{value!r} as an argument"
                raise ConfigError(
                    f"options and arguments must have a value, got {shown}; leave it out for the default, or give one"
                )
            before = word
        return super().parse_args(ctx, args)


def _with_numbers_joined(args: list[str]) -> list[str]:
    """Returns words of a command line in which the numbers after an option are one word, with commas."""
    found: list[str] = []
    for word in args:
        if word.isdecimal() and len(found) > 1 and found[-2] == _TRIALS and found[-1][-1:].isdecimal():
            found[-1] += f",{word}"
        else:
            found.append(word)
    return found


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(
    data_app, name="data", help="Make, import, list and show data sets.", rich_help_panel="Look around"
)
new_app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
app.add_typer(
    new_app, name="new", help="Write a family or a search space to begin with.", rich_help_panel="Extend"
)


@app.callback()
def thalweg() -> None:
    """Searches the hyperparameters of multimodal geoscience models, on a laptop or a Ray cluster.

    Start with `thalweg search quickstart`; then `thalweg ui`.
    """


_SHORT = (
    results.best,
    results.lineage,
    show.show,
    compare.compare,
    look.studies,
    look.spaces,
    look.families,
    look.describe,
)
_PANELS: Mapping[str, Sequence[Callable[..., None]]] = {
    "Search": (
        check.check,
        search.search,
        confirm.confirm,
        train.train,
        reproduce.reproduce,
        results.best,
        register.register,
        results.ui,
        show.show,
        results.lineage,
        report.report,
        compare.compare,
    ),
    "Look around": (look.studies, look.spaces, look.families, look.describe),
}
_DATA: Mapping[str, Callable[..., None]] = {
    "list": data.list_data,
    "make": data.make_data,
    "show": data.show_data,
    "import": data.import_data,
}
_NEW: Mapping[str, Callable[..., None]] = {"family": new.new_family, "space": new.new_space}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(cls=StrictCommand, rich_help_panel=_panel)(_command)
for _name, _command in _DATA.items():
    data_app.command(_name, cls=StrictCommand)(_command)
for _name, _command in _NEW.items():
    new_app.command(_name, cls=StrictCommand)(_command)


def main() -> None:
    """Runs the command that was typed."""
    app()
