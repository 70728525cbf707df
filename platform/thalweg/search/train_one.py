"""Trains one configuration of a search space in this process, without a search and without Ray.

It also runs as one of several workers: ``torchrun --nproc-per-node 2 -m thalweg train SPACE``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from thalweg.config import FamilyConfig, identity
from thalweg.files import writing
from thalweg.hashing import digest
from thalweg.search.overrides import with_budget
from thalweg.search.preflight import Prepared, prepare
from thalweg.search.space import Space
from thalweg.search.store.warm_start import StartingPoints
from thalweg.study import Study
from thalweg.study_folder import StudyFolder
from thalweg.training.messages import Report, TrialOrder

if TYPE_CHECKING:  # torch and DeepSpeed
    from thalweg.training.process_group import ProcessGroup
    from thalweg.training.session import DataCache

Tell: TypeAlias = Callable[[str], None]
"""Is called with a sentence for people."""
FOLDER = "train"


@dataclass(frozen=True, kw_only=True)
class Single:
    """A configuration that is ready to be trained.

    Attributes:
        order: What to train.
        params: Values of the parameters that the space asked for, defaults included.
        config: The configuration.
    """

    order: TrialOrder
    params: Mapping[str, Any]
    config: FamilyConfig


def choose(
    space: Space,
    params: Mapping[str, Any],
    *,
    output: Path,
    storage: str | None = None,
    root: Path | None = None,
    samples: int | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Single:
    """Prepares the training of a parameter set: builds its configuration, checks it and freezes its starting points.

    Args:
        space: Search space; its study gives metric, budget and evaluations.
        params: Values by name; a parameter that is left out takes its default.
        output: Folder of all studies.
        storage: SQLAlchemy URL of a database with the studies to start from, instead of journals in their folders.
        root: Folder of all data; None takes ``THALWEG_DATA`` or ``data/``.
        samples: Budget in training samples; None takes the study's.
        tell: Called with a sentence for people about what takes a while.

    Raises:
        ThalwegError: A parameter is unknown or out of its range, or the preflight fails.
    """
    asked, trial = space.replay(params)
    study = space.study if samples is None else with_budget(space.study, samples, [asked])
    output = output.absolute()
    present = StartingPoints(None, output=output, storage=storage)
    prepared = prepare(space, root, tell, present)
    directory = output / FOLDER / f"{space.name}-{_name(asked, study, prepared, present)}"
    starting_points = StartingPoints(directory, output=output, storage=storage)
    config = starting_points.take(asked)
    for point in starting_points.points(config):
        tell(point.sentence())
    order = TrialOrder(
        trial="trial",
        family=prepared.family,
        config=config.model_dump(mode="json"),
        metric=study.metric,
        evaluations=study.evaluations,
        data_root=str(prepared.data_root),
        directory=str(directory),
        baselines=True,
        starting_points=StudyFolder(directory).starting_weights_of(config.starts_from),
        keep_last=study.keep_last,
    )
    return Single(order=order, params=trial.params, config=config)


def _name(config: FamilyConfig, study: Study, prepared: Prepared, present: StartingPoints) -> str:
    """Returns a hash of all that the result of a training depends on, its starting points included."""
    depends_on = {
        "config": identity(config),
        "evaluations": study.evaluations,
        "protocol": prepared.tags["protocol_hash"],
    }
    points = [(point.study, point.trial, point.samples, point.value) for point in present.points(config)]
    return digest(depends_on | ({"sources": points} if points else {}))


def train(single: Single, publish: Callable[[Report], None]) -> Report:
    """Trains to the end of the budget; resumes from the checkpoint of an earlier call if there is one.

    Args:
        single: What to train.
        publish: Called with the report of each evaluation, in the first worker only.

    Returns:
        The last report.

    Raises:
        ThalwegError: The trial cannot go on, or its folder cannot be written.
    """
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache

    _make_folder(Path(single.order.directory))
    group = join()
    return advance(single.order, group, DataCache(), publish if group.rank == 0 else _unheard)


def _unheard(report: Report) -> None:
    """What the other workers report is what the first one does."""


def advance(
    order: TrialOrder,
    group: ProcessGroup,
    cache: DataCache,
    publish: Callable[[Report], None],
    *,
    reached: int = 0,
    until: int | None = None,
) -> Report:
    """Trains an order in this process group; every worker must call.

    Args:
        order: What to train.
        group: The workers.
        cache: Keeps the data open.
        publish: Called with the report of each evaluation.
        reached: Samples of the evaluation that has been reported last, whose checkpoint is there; 0 for none.
        until: Samples of the last evaluation that is trained; None trains to the end of the budget.

    Returns:
        The last report.

    Raises:
        ThalwegError: The trial cannot go on.
    """
    from thalweg.training.session import Session

    session = Session(order, group, cache)
    done = False
    try:
        while not done:
            report = session.advance(reached)
            reached = report.samples
            done = report.done or (until is not None and reached >= until)
            publish(report)
    finally:
        session.close()
    return report


def _make_folder(folder: Path) -> None:
    with writing("the output folder", folder, "choose another with --output"):
        folder.mkdir(parents=True, exist_ok=True)
