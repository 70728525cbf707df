"""The training state that a checkpoint records, and a check for damage. Neither needs torch.

``state.json`` is written last, and holds the SHA-256 of every other file and of itself. Checkpoints of an earlier
version hold no digests; for them the checksums within torch's archives are checked.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from thalweg import discovery
from thalweg.config import alike
from thalweg.errors import ThalwegError
from thalweg.files import drafts
from thalweg.study_folder import checkpoints_of
from thalweg.training.checkpoints.places import relative
from thalweg.training.messages import Report

STATE = "state.json"
FROM_BEFORE = ""
"""Identity of the study in checkpoints of an earlier version, which did not record it."""
_ON_THE_WAY = ("documents", "notes", "deaths")
"""Fields of a report that are for its receiver only; no checkpoint records them."""
_PROVENANCE = "facts"
"""Name of the report's provenance in ``state.json``, in checkpoints of all versions."""
_OWN = "sha256"  # of the state itself
# What zipfile raises for damaged names, flags, methods and offsets, beside its own.
_NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True)
class TrainingState:
    """The state of a trial's training at a checkpoint.

    Attributes:
        report: What was reported at this evaluation.
        config: The configuration as JSON.
        family: Package of the family.
        stage: Number of the stage that was training.
        study: Identity of the study that the trial belongs to; empty outside of studies and in earlier versions.
        files: SHA-256 of every file but ``state.json``, by its path below the checkpoint.
    """

    report: Report
    config: Mapping[str, Any]
    family: str
    stage: int
    study: str = FROM_BEFORE
    files: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> TrainingState:
        """Reads the state of a complete checkpoint, which may have been moved since it was written.

        Raises:
            OSError: It cannot be read.
            ValueError: The file holds no state, or has changed since it was written.
        """
        values = json.loads((folder / STATE).read_text())
        try:
            if _OWN in values and values.pop(_OWN) != _sha256_of(values):
                raise ValueError("it has changed since it was written")
            report = values["report"] | {"checkpoint": str(folder)}
            for name in _ON_THE_WAY:
                report.pop(name, None)
            report["provenance"] = report.pop(_PROVENANCE, {})
            report["curve"] = tuple((samples, point) for samples, point in report["curve"])
            known = {name: values[name] for name in ("config", "family", "stage")}
            return cls(
                Report(**report),
                **known,
                study=values.get("study", FROM_BEFORE),
                files=values.get("files", {}),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it lacks {error}") from error

    def is_of(self, config: Mapping[str, Any]) -> bool:
        """Returns whether the checkpoint is of a configuration, which another version may have recorded."""
        if self.config == config:
            return True
        try:
            config_type = discovery.load_family(self.family).config_type
        except ThalwegError:
            return False
        return alike(config_type, self.config, config)

    def write(self, folder: Path, place: Path) -> None:
        """Completes a checkpoint whose other files are written.

        Args:
            folder: Where the files lie at present.
            place: Where they will lie.

        Raises:
            OSError: It cannot be written.
        """
        files = {str(file.relative_to(folder)): _sha256(file) for file in _files(folder)}
        report = replace(self.report, checkpoint=relative(place))
        values = json.loads(json.dumps(asdict(replace(self, report=report, files=files))))
        for name in _ON_THE_WAY:
            del values["report"][name]
        values["report"][_PROVENANCE] = values["report"].pop("provenance")
        text = json.dumps(values | {_OWN: _sha256_of(values)}, indent=1)
        (folder / STATE).write_text(text)


@dataclass(frozen=True)
class Found:
    """The checkpoint that a trial resumes from.

    Attributes:
        folder: The checkpoint; None if the trial starts from the beginning.
        samples: Samples at which it was written, 0 without one.
        skipped: What is wrong with each newer checkpoint that cannot be used, by its folder.
    """

    folder: Path | None = None
    samples: int = 0
    skipped: Mapping[Path, str] = field(default_factory=dict)


def complete(trial: Path) -> list[Path]:
    """Returns the complete checkpoints in a trial's folder, in the order of their samples."""
    return [folder for folder in checkpoints_of(trial) if (folder / STATE).exists()]


def incomplete(trial: Path) -> list[Path]:
    """Returns what is left of checkpoints that were never completed."""
    half = [folder for folder in checkpoints_of(trial) if not (folder / STATE).exists()]
    return sorted([*half, *drafts(trial)])


def newest_whole(trials: Mapping[Path, Collection[str]], config: Mapping[str, Any]) -> Found:
    """Finds the newest undamaged checkpoint of a configuration that belongs to the study.

    Args:
        trials: Folders of trials, each with the identities of the studies whose checkpoints count there. At equal
            samples the checkpoint in the first folder is taken.
        config: The configuration as JSON; checkpoints of other configurations do not count.
    """
    folders = [(folder, studies) for trial, studies in trials.items() for folder in complete(trial)]
    skipped: dict[Path, str] = {}
    for folder, studies in sorted(folders, key=lambda pair: pair[0].name, reverse=True):
        name = f"{folder.parent.name}/{folder.name}"
        try:
            state = TrainingState.read(folder)
        except (OSError, ValueError) as error:
            skipped[folder] = f"the checkpoint {name} is damaged ({STATE}: {error})"
            continue
        if not state.is_of(config):
            continue
        if state.study not in studies:
            skipped[folder] = f"the checkpoint {name} is of another study with this name"
        elif reason := _damage(folder, state):
            skipped[folder] = f"the checkpoint {name} is damaged ({reason})"
        else:
            return Found(folder, state.report.samples, skipped)
    return Found(skipped=skipped)


def damage(folder: Path) -> str:
    """Says what is wrong with a complete checkpoint; empty if it is undamaged. Reads all of its files."""
    try:
        return _damage(folder, TrainingState.read(folder))
    except (OSError, ValueError) as error:
        return f"{STATE}: {error}"


def _damage(folder: Path, state: TrainingState) -> str:
    try:
        if not state.files:
            return _damaged_archive(folder)
        for name, digest in state.files.items():
            if _sha256(folder / name) != digest:
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is gone"
    except OSError as error:
        return f"it cannot be read: {error}"
    return ""


def _damaged_archive(folder: Path) -> str:
    """Checks torch's archives against the checksums within them."""
    for file in folder.rglob("*.pt"):
        name = file.relative_to(folder)
        try:
            with zipfile.ZipFile(file) as archive:
                if archive.testzip() is not None:
                    return f"{name} has changed since it was written"
        except _NO_ARCHIVE as error:
            return f"{name}: {error}"
    return ""


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != STATE)


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _sha256_of(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
