"""Versions of models in MLflow's registry: an exported file with its code, signature and tags."""

from __future__ import annotations

import logging
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import ConfigError, ConnectionFailed, StudyError
from thalweg.serving.quantities import Quantity
from thalweg.serving.shipping import Shipped
from thalweg.tracking import naming
from thalweg.tracking.additions import find_trial
from thalweg.tracking.client import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

LOADER = "thalweg.inference"
"""Module whose `_load_pyfunc` loads a model; it is among the code that is shipped."""
_ARTIFACTS = "registered"
_MAX_TAG_LENGTH = 5000  # of a model version, by servers of all kinds


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version of a model in the registry.

    Attributes:
        name: Name of the model.
        version: Number of the version.
    """

    name: str
    version: str

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.version}"


def check_registry(uri: str, name: str, study: str, directory: Path, number: int) -> None:
    """Refuses what MLflow would refuse once all is ready: a name, or a trial that it does not know.

    Args:
        uri: MLflow's address, which `check_tracking` accepted.
        name: Name of the model.
        study: Name of the study and of its experiment.
        directory: Folder of the study, absolute.
        number: Number of the trial.

    Raises:
        ConfigError: MLflow takes no such name.
        StudyError: It does not know the trial.
        ConnectionFailed: It does not answer, or has no registry.
    """
    from mlflow.exceptions import MlflowException

    client = connect(uri)
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "INVALID_PARAMETER_VALUE":
            raise ConfigError(
                f"MLflow must take the name of a model, got {name!r}: {_line(error)}; choose another with --name"
            ) from None
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise _refusal(error) from error
    with _answering():
        if find_trial(client, study, directory, number) is None:
            raise StudyError(
                f"a trial must be in MLflow to be registered, got trial {number} of {study}, which {uri} does not "
                "know; choose the --tracking-uri of its search"
            )


def add_model_version(
    uri: str,
    name: str,
    trial: tuple[str, Path, int],
    model: Path,
    shipped: Shipped,
    quantities: tuple[Sequence[Quantity], Sequence[Quantity]],
    tags: Mapping[str, str],
) -> Registered:
    """Adds an exported model to the registry, as an artifact of its trial's run.

    Args:
        uri: MLflow's address, which `check_registry` accepted.
        name: Name of the model; a new one is made.
        trial: Name and folder of the study, and number of the trial.
        model: The exported file.
        shipped: The code that it needs.
        quantities: What it takes and gives.
        tags: Tags of the version.

    Raises:
        ConnectionFailed: MLflow does not accept it.
    """
    client = connect(uri)
    with _answering(), tempfile.TemporaryDirectory() as draft:
        run = find_trial(client, *trial)
        assert run is not None  # `check_registry` found it
        _save(Path(draft) / "model", model, shipped, quantities)
        place = f"{_ARTIFACTS}/{uuid.uuid4().hex[:8]}"  # a later version leaves this one as it is
        client.log_artifacts(run.info.run_id, str(Path(draft) / "model"), place)
        _make(client, name)
        made = client.create_model_version(
            name,
            source=f"{run.info.artifact_uri}/{place}",
            run_id=run.info.run_id,
            tags={
                naming.key(each): naming.clip(value, _MAX_TAG_LENGTH) for each, value in tags.items() if value
            },
        )
    return Registered(name=name, version=str(made.version))


def _save(
    folder: Path, model: Path, shipped: Shipped, quantities: tuple[Sequence[Quantity], Sequence[Quantity]]
) -> None:
    import mlflow

    with _without_advice():
        mlflow.pyfunc.save_model(
            folder,
            loader_module=LOADER,
            data_path=str(model),
            code_paths=[str(package) for package in shipped.packages],
            signature=_signature(*quantities),
            pip_requirements=[f"mlflow=={mlflow.__version__}", *shipped.requirements],
            metadata={
                kind: {
                    each.name: {"unit": each.unit, "dims": list(each.dims), "meaning": each.meaning}
                    for each in some
                }
                for kind, some in zip(("inputs", "outputs"), quantities, strict=True)
            },
        )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silences advice on an example of inputs and on pip, which is no part of the model."""
    logger = logging.getLogger("mlflow.utils.environment")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _signature(taken: Sequence[Quantity], given: Sequence[Quantity]) -> ModelSignature:
    """Returns names, types and shapes. The model itself checks its inputs: MLflow would refuse arrays of xarray."""
    from mlflow.models import ModelSignature

    signature = ModelSignature(inputs=_schema(taken), outputs=_schema(given))
    signature._is_signature_from_type_hint = True
    return signature


def _schema(quantities: Sequence[Quantity]) -> Any:
    import numpy as np
    from mlflow.types.schema import Schema, TensorSpec

    return Schema(
        [TensorSpec(np.dtype(each.dtype), (-1, *each.shape), name=each.name) for each in quantities]
    )


def _make(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _answering() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> ConnectionFailed:
    return ConnectionFailed(f"MLflow must take the model, got {_line(error)}; choose another --tracking-uri")


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0]
