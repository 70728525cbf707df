"""Commands about data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thalweg.cli.options import RUNS, Data, Output, Tracking, assignments, teller, terminal
from thalweg.errors import ConfigError
from thalweg.wording import some


def list_data(
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY]", help="Only those of this family.", show_default="all")
    ] = None,
    data: Data = None,
) -> None:
    """Lists the data sets of all families, those that exist and those that could be made or imported."""
    from thalweg.console import listings
    from thalweg.datasets.catalogue import data_sets

    terminal().print(listings.data_sets(data_sets(data, family)))


def make_data(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="A family with synthetic data sets.")],
    world: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="One of its synthetic data sets. \\[default: all]"),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the data set as name=value; repeat it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the data set, if options vary it.")
    ] = None,
    data: Data = None,
) -> None:
    """Makes synthetic data sets, in the format and with the irregularities of the real ones.

    Example: `thalweg data make rgb_lidar default --option difficulty=0.5 --as easy`

    `thalweg describe FAMILY` explains the options.
    """
    from thalweg.datasets.making import make, make_variant

    tell = teller(terminal())
    if not (option or name):
        made = make(family, world, data, tell)
    elif world and name:
        made = [make_variant(family, world, name, assignments(option or []), data, tell)]
    else:
        raise ConfigError(
            "a world with options must be named and get a name of its own, "
            f"got {world or 'all worlds'} and {name or 'no name'}; add --as NAME"
        )
    for folder in made:
        tell(str(folder))


def show_data(
    family: Annotated[str, typer.Argument(metavar="FAMILY", help="The family of the data set.")],
    dataset: Annotated[
        str | None,
        typer.Argument(metavar="DATASET", help="A data set. \\[default: the first synthetic one]"),
    ] = None,
    fiftyone: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Write the data set into FiftyOne under this name instead."),
    ] = None,
    output: Output = RUNS,
    data: Data = None,
    tracking_uri: Tracking = None,
) -> None:
    """Shows a data set: counts, pictures, tables and one page that needs no network, in a folder and in MLflow.

    Example: `thalweg data show rgb_lidar tiny`, then `thalweg ui`
    """
    from thalweg.datasets.showing import export_fiftyone, show
    from thalweg.tracking.additions import EXPERIMENT, record_look
    from thalweg.tracking.address import check_tracking, default_uri

    tell = teller(terminal())
    if fiftyone is not None:
        tell(export_fiftyone(family, dataset, fiftyone, output, data, tell))
        return
    uri = tracking_uri or default_uri()
    check_tracking(uri)
    shown = show(family, dataset, output, data, tell)
    tell(f"{shown.found.report}\n\npage    {shown.page}\nfolder  {shown.folder}")
    record_look(uri, shown.name, shown.folder, shown.found)
    tell(f"MLflow  {uri}, experiment {EXPERIMENT}, run {shown.name}: thalweg ui")


def import_data(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A public data set; `thalweg data list` names them.")
    ],
    folder: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Folder with the downloaded files, or a file of some data sets."
        ),
    ],
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the import as name=value; repeat it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", help="Name of the new data set. \\[default: that of the public one]")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="The family that reads it. \\[default: found by the data set's name]")
    ] = None,
    data: Data = None,
) -> None:
    """Imports a public data set into the format of its family, and reports what is observed and what is derived.

    Example: `thalweg data import gb-hydrology DOWNLOADS/gb_hydrology --option catchments=100 --as gb-small`

    `thalweg describe FAMILY` explains the options.
    """
    from thalweg.datasets.importing import import_source

    if len(folder) > 1:
        raise ConfigError(
            f"an import must have one file or folder, got {len(folder)}: {some(map(str, folder), 2)}; "
            "pass the folder that holds them, or one with links to them"
        )
    tell = teller(terminal())
    options = assignments(option or [])
    target, report = import_source(
        source, folder[0], name=name, options=options, root=data, family_name=family
    )
    tell(f"{report}\n{target}")
