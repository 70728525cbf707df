"""A study's folder: every name below it, and the names of its trials and their checkpoints.

Studies on disk and runs in MLflow carry these names and are found by them, so they must not change.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS = "checkpoints"
BASELINES = "baselines.json"
_JOURNAL = "journal.log"
_SPOOL = "mlflow_spool."
_SAMPLES = "samples-"


def trial_name(number: int) -> str:
    """Returns the name of a trial's own folders and files: ``trial-00007``."""
    return f"trial-{number:05d}"


def trial_title(number: int) -> str:
    """Returns the name of a trial's run in MLflow: ``trial 007``."""
    return f"trial {number:03d}"


def baseline_name(name: str) -> str:
    """Returns the name of a baseline's own files: ``baseline-climatology``."""
    return f"baseline-{name.replace('/', '_')}"


def checkpoint_name(samples: int) -> str:
    """Returns the name of a checkpoint's folder below the trial's folder, from the samples seen."""
    return f"{_SAMPLES}{samples:012d}"


def checkpoints_of(trial: Path) -> list[Path]:
    """Returns the checkpoints in a trial's folder, by their names, in the order of their samples."""
    return sorted(trial.glob(f"{_SAMPLES}*"))


def studies_in(output: Path) -> list[StudyFolder]:
    """Returns the folders that hold a journal, among those in the folder of all studies, by name."""
    return [StudyFolder(journal.parent) for journal in sorted(output.glob(f"*/{_JOURNAL}"))]


@dataclass(frozen=True)
class StudyFolder:
    """The paths below a study's folder; none of them need exist.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def journal(self) -> Path:
        """Journal of a study that is not stored in a database."""
        return self.path / _JOURNAL

    @property
    def claim(self) -> Path:
        """Lock file of the process that drives the study."""
        return self.path / "driver.lock"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints of all trials, and of the baselines."""
        return self.path / CHECKPOINTS

    def trial(self, name: str) -> Path:
        """Returns the folder of a trial's checkpoints."""
        return self.checkpoints / name

    def code(self, version: str) -> Path:
        """Returns the folder of the modules that trials run, by their hash."""
        return self.path / "code" / version

    @property
    def starting_points(self) -> Path:
        """Folder of the starting points: weights of other studies that trials start from."""
        return self.path / "sources"

    @property
    def starting_points_lock(self) -> Path:
        """What the process that freezes weights holds locked."""
        return self.starting_points / ".lock"

    def starting_weights(self, study: str) -> Path:
        """Returns the file with the weights of a starting point, by the name of its study."""
        return self.starting_points / f"{study}.pt"

    def starting_point(self, study: str) -> Path:
        """Returns the file that describes a starting point: of which trial the weights are."""
        return self.starting_weights(study).with_suffix(".json")

    def starting_weights_of(self, studies: Iterable[str]) -> dict[str, str]:
        """Returns the file with the weights of each of several starting points, in their order."""
        return {study: str(self.starting_weights(study)) for study in studies}

    def frozen_studies(self) -> list[str]:
        """Returns the names of the studies whose weights are described, in their order."""
        return [file.stem for file in sorted(self.starting_points.glob("*.json"))]

    @property
    def lanes(self) -> Path:
        """Folder of Ray Train's files, and of what workers write when a signal ends them."""
        return self.path / "lanes"

    @property
    def tune(self) -> Path:
        """Folder of Ray Tune's files."""
        return self.path / "tune"

    @property
    def ray_log(self) -> Path:
        """Log of what Ray prints."""
        return self.path / "ray.log"

    def failure(self, trial: str) -> Path:
        """Returns the file with the traceback of a failed trial."""
        return self.path / "failures" / f"{trial}.txt"

    @property
    def units(self) -> Path:
        """Folder of the sums by unit of all trials and baselines."""
        return self.path / "units"

    def unit_sums(self, name: str) -> Path:
        """Returns the file with the sums by unit of a trial's last evaluation, or of a baseline.

        Args:
            name: `trial_name` of a trial, `baseline_name` of a baseline.
        """
        return self.units / f"{name}.npz"

    def test_unit_sums(self, name: str) -> Path:
        """Returns the file with the sums by unit of a run of a confirmation on the split ``test``, or of a baseline."""
        return self.path / "test_units" / f"{name}.npz"

    def pictures(self, number: int) -> Path:
        """Returns the folder of a trial's pictures."""
        return self.path / "pictures" / trial_name(number)

    def relation(self, name: str) -> Path:
        """Returns the folder of the picture of a relation of two metrics."""
        return self.path / "pictures" / "relations" / name

    def front(self, name: str) -> Path:
        """Returns the folder of the picture of a Pareto front."""
        return self.path / "pictures" / "fronts" / name

    def comparison(self, name: str) -> Path:
        """Returns the folder of the picture of a comparison of trials or of options of a parameter."""
        return self.path / "pictures" / "comparisons" / name

    @property
    def lineage(self) -> Path:
        """Folder of the picture of a population's schedules."""
        return self.path / "pictures" / "lineage"

    @property
    def importance(self) -> Path:
        """Folder of the picture of the importance of parameters."""
        return self.path / "pictures" / "importance"

    @property
    def report(self) -> Path:
        """Folder of the study's report."""
        return self.path / "report"

    @property
    def confirmation(self) -> Path:
        """File with the plan of a confirmation."""
        return self.path / "confirmation.json"

    @property
    def verdict(self) -> Path:
        """Folder of what a confirmation found: picture, JSON and table."""
        return self.path / "verdict"

    @property
    def test_scores(self) -> Path:
        """File with the metrics of the runs of a confirmation on the split ``test``."""
        return self.path / "test_scores.json"

    @property
    def test_readings(self) -> Path:
        """File that logs when the split ``test`` was read for a study, and by which command."""
        return self.path / "test_readings.json"

    @property
    def mlflow_state(self) -> Path:
        """File that records how far the spools were delivered to MLflow."""
        return self.path / "mlflow.json"

    @property
    def mlflow_refused(self) -> Path:
        """File of the events that MLflow refused."""
        return self.path / "mlflow_refused.jsonl"

    @property
    def mlflow_log(self) -> Path:
        """Log of what the delivering process prints."""
        return self.path / "mlflow.log"

    @property
    def mlflow_lock(self) -> Path:
        """Lock file of the delivering process."""
        return self.path / "mlflow.lock"

    def mlflow_aside(self, record: str) -> StudyFolder:
        """Returns the path to which a record is moved if another study takes over the folder."""
        return StudyFolder(self.path / f"mlflow_of_{record}")

    def spool(self, session: int) -> Path:
        """Returns the file with the events of a session."""
        return self.path / f"{_SPOOL}{session:013d}.jsonl"

    def sessions(self) -> list[int]:
        """Returns the numbers of the sessions that have a spool, ascending."""
        names = (path.name[len(_SPOOL) : -len(".jsonl")] for path in self.path.glob(f"{_SPOOL}*.jsonl"))
        return sorted(int(name) for name in names if name.isdigit())
