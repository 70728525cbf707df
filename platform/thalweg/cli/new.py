"""Commands that write a family or a search space to begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from thalweg.cli.options import teller, terminal

Package = Annotated[
    str | None,
    typer.Option(
        help="Package below this folder to write into; made if it is missing. \\[default: the only one here, or my_lab]"
    ),
]


def new_family(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the family's folder.")],
    package: Package = None,
) -> None:
    """Writes a small family into a package of your own: data, model, loss and measure, in 150 lines to change.

    Example: `thalweg new family lakes`
    """
    from thalweg.scaffold.new_family import write_family

    dotted = write_family(name, package)
    teller(terminal())(
        f"wrote the family {dotted}, which predicts the temperature of lakes; change it to your own\n\n"
        f"check it   thalweg check {dotted}\n"
        f"train it   thalweg train {dotted} --preset tiny --samples 4096\n"
        f"search it  thalweg new space {name}_rates --family {dotted}"
    )


def new_space(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the file.")],
    family: Annotated[
        str | None, typer.Option(help="Family that it asks about. \\[default: the only one of the package]")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named configuration that it varies. \\[default: the first one]")
    ] = None,
    package: Package = None,
) -> None:
    """Writes a small search space into a package of your own.

    Example: `thalweg new space lakes_rates --family my_lab.lakes`
    """
    from thalweg.scaffold.new_space import write_space

    dotted = write_space(name, family, package, preset)
    teller(terminal())(
        f"wrote the search space {dotted}; its first line is its question\n\n"
        f"search it  thalweg search {dotted}\n"
        f"train one  thalweg train {dotted} --samples 1024"
    )
