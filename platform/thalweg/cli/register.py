"""The command that puts a study's model into MLflow's registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from thalweg.cli.options import RUNS, Data, Output, Storage, Tracking, teller, terminal
from thalweg.lanes.interruption import ending_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thalweg.analysis.keeping.registration import Kept
    from thalweg.serving.quantities import Quantity

_MIB = 2**20


def register(
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Name of a study; `thalweg studies` lists them.")
    ],
    trial: Annotated[
        int | None,
        typer.Option(
            min=0, help="Number of a trial. \\[default: what `thalweg confirm` recommends, else the best]"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in the registry. \\[default: the study's]")
    ] = None,
    output: Output = RUNS,
    storage: Storage = None,
    data: Data = None,
    tracking_uri: Tracking = None,
) -> None:
    """Puts the best model of a study, or the confirmed one, into MLflow's model registry.

    Examples: `thalweg register quickstart`, `thalweg register rgb_lidar_fusion --trial 4 --name spheres`

    It is tried in a process in which only libraries and the code that goes with it can be imported. Then
    `mlflow.pyfunc.load_model("models:/NAME/VERSION").predict(...)` predicts there from arrays of numpy or xarray, in
    physical units. Tags hold study, trial, verdict, units, statistics, protocol and data.
    """
    from thalweg.analysis import studies
    from thalweg.analysis.keeping import registration
    from thalweg.tracking.address import check_tracking, default_uri

    record = studies.find(output, study, storage)
    directory = (output / study).absolute()
    chosen = registration.choose(record, directory, trial)
    check_tracking(uri := tracking_uri or default_uri())
    tell = teller(terminal())
    tell(f"trial {chosen.trial.number} of {record.name}, {chosen.why}")
    with ending_at_once():
        from thalweg.training.checkpoints import export  # noqa: F401 - torch and DeepSpeed take seconds
    kept = registration.register(record, chosen, directory, uri, name or record.name, data, tell)
    for sentence in _sentences(kept, uri):
        tell(sentence)


def _sentences(kept: Kept, uri: str) -> Iterator[str]:
    for kind, some in zip(("takes", "gives"), kept.quantities, strict=True):
        yield from (f"{kind}  {each.name} {each.axes} in {each.unit}{_meant(each)}" for each in some)
    sizes = f"{kept.model_bytes / _MIB:.1f} MiB, {kept.code_bytes / _MIB:.1f} MiB of code with it"
    yield f"registered as {kept.registered.uri}, {sizes}"
    yield f'MLFLOW_TRACKING_URI={uri} python -c "import mlflow; mlflow.pyfunc.load_model({kept.registered.uri!r})"'


def _meant(quantity: Quantity) -> str:
    return f": {quantity.meaning}" if quantity.meaning else ""
