"""The runs of a study that MLflow has: experiment, parent run and child runs, found by the study's identity."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

from thalweg.events import StudyStarted
from thalweg.tracking import naming
from thalweg.tracking.spool import DeliveryState

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


class KnownRuns:
    """Finds a study's runs, restores those that were deleted, makes those that are missing.

    Args:
        client: Client of the tracking address.
        state: Which runs exist; its experiment and its study's identity are set here.
    """

    def __init__(self, client: MlflowClient, state: DeliveryState) -> None:
        self._client = client
        self._state = state
        self._children: dict[str, str] | None = None

    def exist(self) -> bool:
        """Returns whether MLflow still has the runs that the state names; restores those that were deleted.

        Raises:
            Exception: MLflow does not answer.
        """
        state = self._state
        if not state.experiment_id:
            return True
        from mlflow.exceptions import MlflowException

        try:
            experiment = self._client.get_experiment(state.experiment_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(state.experiment_id)
        self.restore()
        needed = {state.parent_id, *(run.run_id for run in state.open.values())} - {""}
        return needed <= {run.info.run_id for run in self.search(self.own())}

    def restore(self) -> None:
        """Restores the runs of this study that somebody deleted in MLflow's pages."""
        for run in self.search(self.own(), deleted=True):
            self._client.restore_run(run.info.run_id)
            self._children = None

    def open_experiment(self, event: StudyStarted, folder: Path | None) -> None:
        """Makes the study's experiment, or finds it; ``folder`` is where a new one keeps its artifacts."""
        experiment = self._client.get_experiment_by_name(event.study)
        if experiment is None:
            location = None if folder is None else (folder / naming.key(event.study)).as_uri()
            created = self._client.create_experiment(event.study, artifact_location=location)
            self._state.experiment_id = created
            return
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        self._state.experiment_id = experiment.experiment_id

    def parent(self, event: StudyStarted, time_ms: int) -> str | None:
        """Finds the parent run of this very study: by its identity, else by its folder and when it began.

        The name alone would not do: people on one server share names, and a study may be begun anew.
        """
        self.restore()
        found = self.search(f"tags.`thalweg.kind` = 'study' and {self.own()}")
        if not found:
            folder = naming.quotable(self._state.folder or event.directory)
            here = f"tags.`thalweg.kind` = 'study' and tags.`thalweg.directory` = '{folder}'"
            began = "" if event.finished_trials else f" and attributes.start_time = {time_ms}"
            found = [run for run in self.search(here + began) if self._may_be_own(run)]
        if not found:
            return None
        self._state.study_id = found[0].data.tags["thalweg.id"]
        return str(found[0].info.run_id)

    def _may_be_own(self, run: Run) -> bool:
        """Returns whether a run in the study's folder may be this study's; earlier versions name no identity."""
        known, own = run.data.tags.get("thalweg.identity"), self._state.identity
        return not known or not own or known == own

    def identity(self, kind: str) -> dict[str, str]:
        """Returns the tags that name a run's study and its kind, such as ``trial`` or ``baseline``."""
        started = self._state.started
        return {
            "thalweg.study": started["study"],
            "thalweg.kind": kind,
            "thalweg.id": self._state.study_id,
            "thalweg.identity": self._state.identity,
            "thalweg.directory": naming.quotable(self._state.folder or started["directory"]),
            "mlflow.source.name": started["space"],
            "mlflow.source.type": "LOCAL",
            "mlflow.user": _user(),
        }

    def own(self) -> str:
        """Returns the filter that finds all runs of this study."""
        return f"tags.`thalweg.id` = '{self._state.study_id}'"

    def child(
        self, parent: str, name: str, kind: str, time_ms: int | None, tags: dict[str, str] | None = None
    ) -> str:
        """Returns the id of a child run, which is made if there is none of this name."""
        children = self.children(parent)
        if name not in children:
            all_tags = naming.tags({**(tags or {}), **self.identity(kind)})
            all_tags["mlflow.parentRunId"] = parent
            run = self._client.create_run(self._state.experiment_id, time_ms, all_tags, run_name=name)
            children[name] = run.info.run_id
        return children[name]

    def children(self, parent: str) -> dict[str, str]:
        """Returns the ids of the child runs by their names; they are read once."""
        if self._children is None:
            found = self.search(f"tags.`mlflow.parentRunId` = '{parent}'")
            self._children = {run.info.run_name: run.info.run_id for run in found}
        return self._children

    def forget_children(self) -> None:
        """Clears the cache of child runs, because one of them may have been deleted or restored."""
        self._children = None

    def search(self, condition: str, *, deleted: bool = False) -> list[Run]:
        """Returns all runs of the experiment that fulfil a condition; those that were deleted, or all others."""
        from mlflow.entities import ViewType

        view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
        found: list[Run] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._state.experiment_id], condition, view, max_results=1000, page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return ""
