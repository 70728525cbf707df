"""Past events of a trial, read again from the spool: its own, or those of the trial that it continues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from thalweg.events import TrialEnded, TrialKept, TrialProgress, TrialStarted
from thalweg.tracking.spool import Moment

CONTINUES = "continues"  # tag of a trial that continues one that was interrupted or stopped: its number


class History:
    """The events of a study's trials so far.

    Args:
        read: Reads the spool from its beginning.
    """

    def __init__(self, read: Callable[[], Iterable[Moment]]) -> None:
        self._read = read
        self._recorded: dict[int, list[TrialProgress]] = {}

    def moments(self, numbers: Collection[int]) -> Mapping[int, list[Moment]]:
        """Returns the events of some trials, in order."""
        found: defaultdict[int, list[Moment]] = defaultdict(list)
        for moment in self._read():
            event = moment.event
            if isinstance(event, TrialStarted | TrialProgress | TrialEnded) and event.number in numbers:
                found[event.number].append(moment)
        return found

    def original(self, inherited: TrialProgress, continues: int) -> TrialProgress:
        """Returns the full record of an evaluation that a trial inherited, with all metrics and curves.

        Args:
            inherited: The evaluation under the new trial's number: samples and objective only.
            continues: Number of the trial that was interrupted, or stopped and promoted.

        Returns:
            The evaluation under the new number; ``inherited`` if the spool does not hold it.
        """
        if continues not in self._recorded:
            self._recorded[continues] = self._evaluations(continues)
        # A batch may have carried the trial beyond the point of the evaluation.
        same = [
            event
            for event in self._recorded[continues]
            if event.samples >= inherited.samples and event.value == inherited.value
        ]
        first = min(same, key=lambda event: event.samples, default=inherited)
        return replace(first, number=inherited.number, provenance={}, documents={})

    def _evaluations(self, number: int) -> list[TrialProgress]:
        found: list[TrialProgress] = []
        before = ""
        for moment in self.moments([number])[number]:
            if isinstance(moment.event, TrialStarted):
                before = moment.event.tags.get(CONTINUES, "")
            elif isinstance(moment.event, TrialProgress):
                event = moment.event
                found.append(self.original(event, int(before)) if before and is_inherited(event) else event)
        return found


def is_inherited(event: TrialProgress) -> bool:
    """Returns whether an evaluation came with a checkpoint: such a one has no timings."""
    return not event.timings


def completed(kept: TrialKept, recorded: Iterable[Moment]) -> list[Moment]:
    """Returns a trial from its start to its end: its events in the spool, and those that only the storage holds.

    The storage decides how it ended.
    """
    begun: list[Moment] = []
    points: list[Moment] = []
    ends: list[Moment] = []
    known: list[TrialProgress] = []
    for moment in recorded:
        if isinstance(moment.event, TrialStarted):
            begun.append(moment)
        elif isinstance(moment.event, TrialProgress):
            points.append(moment)
            known.append(moment.event)
        elif isinstance(moment.event, TrialEnded) and _same(moment.event, kept.ended):
            ends = [moment]
    for index, (samples, value) in enumerate(kept.curve):
        if not any(event.samples >= samples and event.value == value for event in known):
            metrics = kept.metrics if index == len(kept.curve) - 1 else {}
            lost = TrialProgress(number=kept.began.number, samples=samples, value=value, metrics=metrics)
            points.append(Moment(kept.began_ms + 1 + index, lost))
    begun = begun or [Moment(kept.began_ms, kept.began)]
    ends = ends or [Moment(kept.ended_ms, kept.ended)]
    return [*begun, *points, *ends]


def _same(recorded: TrialEnded, kept: TrialEnded) -> bool:
    """Returns whether two records of an end agree; the storage rounds the seconds."""
    return replace(recorded, seconds=kept.seconds) == kept
