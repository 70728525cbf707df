"""Trains a recorded trial again, through the same path as `thalweg train`, and compares each evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from thalweg.config import Optimization
from thalweg.errors import ConfigError, ThalwegError
from thalweg.files import discard, writing
from thalweg.search.reproduction.circumstances import MICRO_BATCH, WORKERS, at
from thalweg.search.reproduction.differences import Circumstances
from thalweg.search.reproduction.original import FAILS_AGAIN, Original
from thalweg.search.train_one import advance
from thalweg.study_folder import checkpoint_name
from thalweg.training.messages import Report, TrialOrder
from thalweg.training.process_group import ProcessGroup
from thalweg.training.sampling import Layout
from thalweg.training.session import DataCache

_COSTS = "cost/"


@dataclass(frozen=True, kw_only=True)
class EvaluationPair:
    """One evaluation of both trainings.

    Attributes:
        samples: Samples seen.
        recorded: The objective in the record.
        here: The objective here.
    """

    samples: int
    recorded: float
    here: float

    @property
    def is_equal(self) -> bool:
        """Whether they are equal bit for bit."""
        return self.recorded == self.here


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of training a trial again.

    Attributes:
        points: The evaluations that were compared, in order.
        num_metrics: Number of metrics of the last evaluation that were compared.
        apart: Names of those of them that differ.
        failure: How it failed here; empty if it did not.
        should_fail: Whether the recorded trial failed at this point.
        fails_alike: Whether it failed for the reason that is recorded.
    """

    points: tuple[EvaluationPair, ...]
    num_metrics: int = 0
    apart: tuple[str, ...] = ()
    failure: str = ""
    should_fail: bool = False
    fails_alike: bool = False

    @property
    def first_apart(self) -> EvaluationPair | None:
        """The first evaluation at which the trainings part; None if they do not."""
        return next((point for point in self.points if not point.is_equal), None)

    @property
    def is_equal(self) -> bool:
        """Whether all that was compared is equal bit for bit, a failure included."""
        ended_alike = self.fails_alike if self.should_fail else not self.failure
        return self.first_apart is None and not self.apart and ended_alike


def reproduce(
    recorded: Original,
    compared: Circumstances,
    group: ProcessGroup,
    cache: DataCache,
    folder: Path,
    samples: int | None,
    publish: Callable[[EvaluationPair], None],
) -> Reproduction:
    """Trains a trial again and compares it, evaluation by evaluation.

    Args:
        recorded: The trial.
        compared: Where its data lie.
        group: The workers; all of them must call.
        cache: Keeps the data open.
        folder: An own folder for its checkpoints, which is deleted before and after.
        samples: Samples after which no evaluation is compared; None compares all.
        publish: Called with each evaluation, in the first worker only.

    Raises:
        ThalwegError: The training cannot begin.
    """
    due = recorded.points(samples)
    fails = recorded.ended_as in FAILS_AGAIN and len(due) == len(recorded.curve)
    points: list[EvaluationPair] = []
    reports: list[Report] = []

    def take(report: Report) -> None:
        reports.append(report)
        known = dict(due).get(report.samples)
        if known is None:
            return
        points.append(EvaluationPair(samples=report.samples, recorded=known, here=report.value))
        if group.rank == 0:
            publish(points[-1])

    failure: ThalwegError | None = None
    if group.rank == 0:
        clear(folder)
    group.barrier()
    try:
        for order, reached, until in _parts(recorded, compared, group, folder, samples, fails):
            advance(order, group, cache, take, reached=reached, until=until)
    except ThalwegError as error:
        failure = error
    finally:
        if group.rank == 0:  # at once: a barrier would wait for a worker that Ctrl-C has ended
            clear(folder)
    num_metrics, apart = _metrics_apart(recorded, reports, fails)
    return Reproduction(
        points=tuple(points),
        num_metrics=num_metrics,
        apart=apart,
        failure=str(failure or ""),
        should_fail=fails,
        fails_alike=failure is not None and failure.ended_as == recorded.ended_as,
    )


def clear(folder: Path) -> None:
    """Deletes the folder of a reproduction, and the one that it lies in once that is empty.

    Raises:
        OutputError: It cannot be deleted.
    """
    with writing("the folder of a reproduction", folder, "choose another with --output"):
        discard(folder)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()


def _parts(
    recorded: Original,
    compared: Circumstances,
    group: ProcessGroup,
    folder: Path,
    samples: int | None,
    fails: bool,
) -> Iterator[tuple[TrialOrder, int, int]]:
    """Yields what is trained in one session: the order, the samples at which it begins, and those at which it ends.

    A trial that ran out of memory went on in smaller micro-batches from a checkpoint, which rounds otherwise than
    smaller ones from the start. One of a population went on with other values.
    """
    ends = [point for point, _ in recorded.points(samples)]
    if fails:  # up to the failure, which the next evaluation does not survive
        ends += [point for point in recorded.evaluations if point > (ends[-1] if ends else 0)][:1]
    kinds = [(end, (_segment(recorded, end), _halvings(recorded, end, group.size))) for end in ends]
    parts = [(kind, [end for end, _ in part]) for kind, part in groupby(kinds, key=lambda one: one[1])]
    order = TrialOrder(
        trial="trial",
        family=recorded.family,
        config=recorded.config,
        metric=recorded.metric,
        evaluations=recorded.evaluations,
        data_root=str(compared.data_root),
        directory=str(folder),
        checkpoints=len(parts) > 1,
        starting_points=recorded.starting_points,
    )
    reached, before = 0, 0
    for (segment, halvings), part in parts:
        own = replace(order, trial=f"trial-{segment}", config=recorded.config_at(part[0]), halvings=halvings)
        if segment != before:
            place = folder / f"trial-{before}" / checkpoint_name(reached)
            own = replace(own, resumes=str(place), inherits=recorded.config_at(reached))
        yield own, reached, part[-1]
        reached, before = part[-1], segment


def _segment(recorded: Original, samples: int) -> int:
    """Returns the number of the segment to which an evaluation belongs, 0 for the first."""
    return sum(samples > end for end, _ in recorded.segments[:-1])


def _halvings(recorded: Original, samples: int, size: int) -> int:
    """Returns how often the micro-batches of an evaluation had been halved; 0 if that is not recorded."""
    stretch = at(recorded.trained, samples)
    knobs = Optimization.model_validate(recorded.config_at(samples).get("optimization", {}))
    try:
        layout = Layout.of(knobs.batch_size, knobs.micro_batch_size, int(stretch.get(WORKERS, size)))
    except ConfigError:
        return 0
    known, halvings = stretch.get(MICRO_BATCH), 0
    found: Layout | None = layout
    while found is not None and known is not None:
        if found.micro_batch_size == int(known):
            return halvings
        halvings += 1
        found = layout.halved(halvings)
    return 0


def _metrics_apart(recorded: Original, reports: list[Report], fails: bool) -> tuple[int, tuple[str, ...]]:
    """Compares the metrics of the last evaluation; returns how many, and those that differ."""
    last = reports[-1] if reports else None
    if last is None or fails or not recorded.curve or last.samples != recorded.curve[-1][0]:
        return 0, ()
    here: Mapping[str, float] = last.measured
    known = {name: value for name, value in recorded.metrics.items() if not name.startswith(_COSTS)}
    return len(known), tuple(name for name, value in known.items() if here.get(name) != value)
