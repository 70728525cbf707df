"""Warm start: a study starts from the best trials of other studies, copied to its folder before the first use.

``STUDY/sources/NAME.pt`` holds the weights, ``NAME.json`` says which trial they are of. Both are written once and
never changed: all trials of a study start from the same weights, whatever becomes of the study NAME.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from thalweg import discovery
from thalweg.config import FamilyConfig, check, parse
from thalweg.errors import ConfigError, OutputError, StudyError
from thalweg.files import atomic_file, locked, writing
from thalweg.search.store.records import StudyRecord, read_study
from thalweg.search.store.storage import output_flag
from thalweg.study_folder import StudyFolder, studies_in
from thalweg.training.checkpoints.places import relative

C = TypeVar("C", bound=FamilyConfig)


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """The best trial of a study, from which another study starts.

    Attributes:
        study: Name of the study.
        trial: Number of the trial.
        metric: The metric by which it is the best.
        value: The metric at the end of its budget.
        samples: Samples that it was trained on.
        family: Package of the family.
        config: Its configuration as JSON.
        checkpoint: Path of its checkpoint; relative to the folder of all studies once the weights are frozen.
        sha256: Hash of the frozen weights; empty until they are frozen.
    """

    study: str
    trial: int
    metric: str
    value: float
    samples: int
    family: str
    config: Mapping[str, Any]
    checkpoint: str
    sha256: str = ""

    def sentence(self) -> str:
        """Returns a sentence for people about the starting point."""
        return f"starts from {self.study}, trial {self.trial}: {self.metric} {self.value:.4g}"


def tags(points: Sequence[StartingPoint]) -> dict[str, str]:
    """Returns MLflow tags that describe the starting points of a study or a trial."""
    return {
        f"starts_from/{point.study}": f"trial {point.trial}, {point.metric} {point.value:.4g} "
        f"after {point.samples:,} samples, sha256 {point.sha256[:8]}"
        for point in points
    }


class StartingPoints:
    """The starting points of the configurations of one study, or of a single training.

    Args:
        directory: Folder of the study, for the frozen copies; None freezes nothing.
        output: Folder of all studies; None takes the parent of ``directory``.
        own: Name of the study, which cannot start from itself.
        storage: SQLAlchemy URL of a database with all studies, instead of journals in their folders.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        output: Path | None = None,
        own: str | None = None,
        storage: str | None = None,
    ) -> None:
        assert directory is not None or output is not None
        self._directory = directory
        self._output = output or Path(str(directory)).parent
        self._own = own
        self._storage = storage
        self._frozen: dict[str, StartingPoint] = {}

    def preview(self, config: C) -> C:
        """Returns a configuration with what it inherits; writes nothing.

        Raises:
            StudyError: A study to start from does not exist, has no complete trial or no checkpoint of it, or is of
                another family.
            ConfigError: A starting point does not provide what the configuration needs.
        """
        return inherit(config, self.points(config))

    def take(self, config: C) -> C:
        """Freezes the starting points of a configuration, and returns it with what it inherits.

        Raises:
            StudyError: As `preview`.
            ConfigError: As `preview`.
            OutputError: The weights cannot be written.
        """
        return inherit(config, self.freeze(config))

    def points(self, config: FamilyConfig) -> list[StartingPoint]:
        """Returns the starting points of a configuration: the frozen ones, else the best trials at present."""
        return [self._known(study) or self._find(study, config) for study in self._studies(config)]

    def freeze(self, config: FamilyConfig) -> list[StartingPoint]:
        """Freezes the starting points of a configuration that are not frozen yet, and returns all."""
        return [self._known(study) or self._freeze(study, config) for study in self._studies(config)]

    def frozen(self) -> list[StartingPoint]:
        """Returns all frozen starting points, ordered by name."""
        if self._directory is None:
            return []
        found = [self._known(study) for study in StudyFolder(self._directory).frozen_studies()]
        return [point for point in found if point is not None]

    def _studies(self, config: FamilyConfig) -> tuple[str, ...]:
        if self._own is not None and self._own in config.starts_from:
            raise StudyError(
                f"a study must start from other studies, got its own name {self._own!r} in starts_from; "
                "give this study another name"
            )
        return tuple(dict.fromkeys(config.starts_from))

    def _known(self, study: str) -> StartingPoint | None:
        if self._directory is None or study in self._frozen:
            return self._frozen.get(study)
        folder = StudyFolder(self._directory)
        weights = folder.starting_weights(study)
        try:
            stored = json.loads(folder.starting_point(study).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not weights.exists():
            raise StudyError(
                f"the weights that a study starts from must stay in its folder, got no {weights}; "
                "put the file back, or give the study another name"
            )
        self._frozen[study] = StartingPoint(**stored)
        return self._frozen[study]

    def _find(self, study: str, config: FamilyConfig) -> StartingPoint:
        record = _read(study, self._output, self._storage)
        family = type(config).__module__.rpartition(".")[0]
        theirs = str(record.definition["family"])
        if theirs != family:
            raise StudyError(
                f"a study must start from studies of its own family {family}, got {study!r} of {theirs}; "
                "name another in starts_from"
            )
        return _best(record, self._output)

    def _freeze(self, study: str, config: FamilyConfig) -> StartingPoint:
        assert self._directory is not None
        with _alone_in(StudyFolder(self._directory)):
            found = self._known(study)  # another process may have been faster
            if found is None:
                found = self._frozen[study] = self._export(self._directory, study, config)
        return found

    def _export(self, directory: Path, study: str, config: FamilyConfig) -> StartingPoint:
        """Freezes the best trial; retries if a running study replaces it and deletes its checkpoint meanwhile."""
        point = self._find(study, config)
        while True:
            try:
                return _write(directory, point)
            except OutputError:
                raise
            except Exception as error:  # DeepSpeed raises many kinds
                newer = self._find(study, config)
                if newer == point:
                    raise StudyError(
                        f"the checkpoint of a study to start from must be whole, got {point.checkpoint}: {error}; "
                        f"search {study!r} anew under another name"
                    ) from error
                point = newer


def inherit(config: C, points: Sequence[StartingPoint]) -> C:
    """Returns a configuration with what it inherits from its starting points.

    Raises:
        ConfigError: A starting point does not provide what the configuration needs.
    """
    if not points:
        return config
    family = discovery.load_family(type(config))
    given: dict[str, FamilyConfig] = {}
    for point in points:
        try:
            given[point.study] = parse(family.config_type, dict(point.config))
        except ConfigError as error:
            raise ConfigError(
                f"trial {point.trial} of {point.study!r} must be a configuration of {family.name} as it is now, "
                f"got {error}; search {point.study!r} anew under another name"
            ) from None
    inherited: C = check(family.task(config).inherit(given))
    return inherited


def _read(study: str, output: Path, storage: str | None) -> StudyRecord:
    first = f"run `{_command(study, output)}` first"
    if Path(study).name != study or (storage is None and not StudyFolder(output / study).journal.exists()):
        known = ", ".join(found.path.name for found in studies_in(output)) or "none"
        raise StudyError(f"no study {study!r} in {output} to start from (found: {known}); {first}")
    try:
        return read_study(output / study, study, storage)
    except StudyError as error:
        raise StudyError(f"a study to start from must be readable, got: {error}; {first}") from None


def _command(study: str, output: Path) -> str:
    """Returns the command that searches the space of the same name as a study."""
    return f"thalweg search {study}{output_flag(output)}"


def _best(record: StudyRecord, output: Path) -> StartingPoint:
    best = record.best()
    if best is None or best.value is None:
        raise StudyError(
            f"a study to start from must have a complete trial, {record.name!r} has none among "
            f"{len(record.trials)}; run `{_command(record.name, output)}` first"
        )
    if best.checkpoint is None or not Path(best.checkpoint).exists():
        raise StudyError(
            f"the best trial of a study to start from must have its checkpoint, trial {best.number} of "
            f"{record.name!r} has none; {_way_out(record, best.checkpoint)}"
        )
    return StartingPoint(
        study=record.name,
        trial=best.number,
        metric=str(record.definition["metric"]),
        value=best.value,
        samples=best.samples,
        family=str(record.definition["family"]),
        config=best.config,
        checkpoint=best.checkpoint,
    )


def _way_out(record: StudyRecord, checkpoint: str | None) -> str:
    """Returns what to do about a missing checkpoint: one that was kept can be brought back."""
    anew = f"search {record.name!r} anew with keep_checkpoints of at least 1"
    return f"bring back {checkpoint}, or {anew}" if checkpoint and record.keeps_checkpoints else anew


def _write(directory: Path, point: StartingPoint) -> StartingPoint:
    """Writes the weights and then their description: a reader that finds the latter finds the former."""
    from thalweg.training.checkpoints.export import freeze  # torch and DeepSpeed

    folder = StudyFolder(directory)
    names = ("study", "trial", "metric", "value")
    sha256 = freeze(
        Path(point.checkpoint),
        folder.starting_weights(point.study),
        {name: getattr(point, name) for name in names},
    )
    frozen = replace(point, sha256=sha256, checkpoint=f"{point.study}/{relative(point.checkpoint)}")
    described = folder.starting_point(point.study)
    with writing("the study's folder", described, "free space"), atomic_file(described) as draft:
        draft.write_text(json.dumps(asdict(frozen), indent=1), encoding="utf-8")
    return frozen


@contextmanager
def _alone_in(folder: StudyFolder) -> Iterator[None]:
    """Makes the folder of weights and keeps other processes from writing into it."""
    with writing("the study's folder", folder.starting_points, "choose another with --output"):
        folder.starting_points.mkdir(parents=True, exist_ok=True)
        with locked(folder.starting_points_lock):
            yield
