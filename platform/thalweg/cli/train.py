"""The command that trains one configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import typer

from thalweg.cli.options import RUNS, Data, DataSet, Output, Storage, assignments, teller, terminal
from thalweg.errors import ConfigError
from thalweg.lanes.interruption import ending_at_once


def train(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A search space or, with --preset, a family.")
    ],
    param: Annotated[
        list[str] | None,
        typer.Option(help="A searched parameter, or a knob of a preset, as name=value; repeat it."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Named configuration of a family, instead of a space.")
    ] = None,
    dataset: DataSet = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to follow, with a preset. \\[default: the family's first]")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Training samples, else the space's.")] = None,
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
) -> None:
    """Trains one configuration of a space, or a preset of a family, in this process, without a search.

    Examples: `thalweg train quickstart --param lr=0.003 --param batch_size=16`,
    `thalweg train water_mae --preset tiny --samples 2048 --param optimization.lr=0.003`

    Parameters that are left out take the middle of their range, or the first of their choices; knobs of a preset stay
    as they are. The same command again
    continues a training that was stopped. A training is no study: neither MLflow nor `thalweg studies` lists it.
    Several workers: `torchrun --nproc-per-node 2 -m thalweg train quickstart`.
    """
    from thalweg.search.overrides import overridden
    from thalweg.search.space import load_space

    console = terminal()
    tell = teller(console)
    given = assignments(param or [])
    if preset is None:
        _only_with_preset({"--metric": metric})
        params, asked = given, overridden(load_space(space), dataset=dataset, root=data, tell=tell)
    else:
        from thalweg.search.presets import preset_space

        _check_knobs(given)
        asked = preset_space(
            space, preset, samples, dataset=dataset, metric=metric, knobs=given, root=data, tell=tell
        )
        params = {}
        tell(asked.doc)
    # After the space, whose mistakes are answered at once: torch and DeepSpeed take seconds.
    with ending_at_once():
        from thalweg.console.train_view import CurveView
        from thalweg.search.train_one import choose
        from thalweg.search.train_one import train as run

    chosen = choose(asked, params, output=output, storage=storage, root=data, samples=samples, tell=tell)
    view = CurveView(chosen, console)
    view.close(run(chosen, view.report))


def _check_knobs(given: Mapping[str, str]) -> None:
    for name in ("dataset", "metric", "samples"):
        if name in given:
            raise ConfigError(
                f"--param names knobs of a preset, and its {name} has an option of its own, got --param "
                f"{name}={given[name]}; pass --{name} {given[name]}"
            )


def _only_with_preset(options: dict[str, str | None]) -> None:
    if given := [f"{name} {value}" for name, value in options.items() if value is not None]:
        raise ConfigError(
            f"{given[0].partition(' ')[0]} goes with a preset of a family, got {given[0]} for a search space, "
            "which settles it; add --preset NAME"
        )
