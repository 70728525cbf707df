"""What is different here from where a trial was trained, and whether other numbers are to be expected for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from thalweg.config import parse
from thalweg.datasets.catalogue import check_moved, data_root
from thalweg.datasets.making import make_world
from thalweg.discovery import load_family
from thalweg.errors import ConfigError, StudyError
from thalweg.search.reproduction.circumstances import DATA, DEVICE, KEPT, MICRO_BATCH, SINCE, THREADS, WORKERS
from thalweg.search.reproduction.modules import EFFECTS, Difference, Effect
from thalweg.search.reproduction.original import Original
from thalweg.search.train_one import Tell
from thalweg.training.guards.family_code import blaming
from thalweg.training.guards.software import VERSION, software
from thalweg.training.process_group import ProcessGroup
from thalweg.training.protocol import protocol_hash
from thalweg.training.session import DataCache, device_name, make_task

_NAMES = {
    DATA: "data",
    DEVICE: "device",
    WORKERS: "number of workers",
    THREADS: "threads of a worker",
    "platform_code": "code of thalweg",
}
_EFFECTS: Mapping[str, Effect] = {
    DATA: "other numbers",
    DEVICE: "other last digits",
    WORKERS: "other last digits",
}
_CPU = "cpu"


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """The circumstances of a trial beside those here.

    Attributes:
        differences: What differs, what matters most first.
        unknown: Names of what the record does not hold.
        data_root: Folder of the family's data sets.
        on_cpu: Whether the trial was trained, and is trained here, on a CPU alone.
    """

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]
    data_root: Path
    on_cpu: bool


def compare(
    recorded: Original,
    group: ProcessGroup,
    cache: DataCache,
    code: list[Difference],
    root: Path | None,
    tell: Tell,
) -> Circumstances:
    """Compares data, software and workers with the record of a trial.

    Args:
        recorded: The trial.
        group: The workers.
        cache: Keeps the data open for the training.
        code: What `code_differences` found.
        root: Folder of all data.
        tell: Called with sentences for people.

    Raises:
        ThalwegError: The family refuses the configuration, or the data are missing.
    """
    family = load_family(recorded.family)
    try:
        config = parse(family.config_type, dict(recorded.config))
    except ConfigError as error:
        raise StudyError(
            f"the family must still take the configuration of {recorded.title}, got {error}; put back the code that "
            f"it ran{f', kept in {recorded.kept_code}' if recorded.kept_code else ''}"
        ) from None
    folder = data_root(family, root)
    check_moved(family, root, config.dataset)
    make_world(family, folder, config.dataset, tell)
    task = make_task(recorded.family, recorded.config)
    with blaming(recorded.family):
        data = cache.open(task, folder, group.device)
        protocol = protocol_hash(family.package, task, data)
    here = {
        **software(),
        DATA: data.fingerprint,
        DEVICE: device_name(group.device),
        WORKERS: group.size,
        THREADS: torch.get_num_threads(),
    }
    found = sorted([*code, *_compared(recorded, here)], key=lambda one: EFFECTS.index(one.effect))
    if protocol != recorded.protocol and recorded.protocol and not any(one.name == "data" for one in found):
        told = Difference(
            name="evaluation protocol", recorded=recorded.protocol, here=protocol, effect="other numbers"
        )
        found.insert(0, told)
    devices = {str(one.get(DEVICE, _CPU)) for one in recorded.trained} | {str(here[DEVICE])}
    return Circumstances(
        differences=tuple(found),
        unknown=tuple(_unknown(recorded)),
        data_root=folder,
        on_cpu=devices == {_CPU},
    )


def _compared(recorded: Original, here: Mapping[str, Any]) -> Iterator[Difference]:
    for name in (name for name in KEPT if name in here):
        known = {str(one[name]): one[SINCE] for one in recorded.trained if name in one}
        if not known and name == WORKERS:
            known = {str(recorded.num_workers): 0}
        if known and set(known) != {str(here[name])}:
            yield Difference(
                name=_NAMES.get(name, name.removeprefix(VERSION)),
                recorded=_in_turn(known),
                here=str(here[name]),
                effect=_EFFECTS.get(name, "perhaps other last digits"),
            )


def _in_turn(known: Mapping[str, int]) -> str:
    """Writes what a circumstance was, and from which evaluation on."""
    first, *later = known.items()
    return ", ".join([first[0], *(f"{value} from the one at {since:,} samples on" for value, since in later)])


def _unknown(recorded: Original) -> Iterator[str]:
    held = {name for one in recorded.trained for name in one}
    for name in KEPT:
        if name not in held and name != MICRO_BATCH and not (name == DATA and recorded.protocol):
            yield _NAMES.get(name, name.removeprefix(VERSION))
    if not recorded.code:
        yield "code of the family"
