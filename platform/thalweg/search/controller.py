"""The controller of a study: starts trials and decides how each of them ends, without knowing Ray.

The adapters for Ray Tune (`tune_adapters`) only translate; tests drive the controller without Ray.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Literal

from thalweg.config import active
from thalweg.errors import ConstraintError, OutputError, StudyError, TrialError
from thalweg.events import EndedAs, Event, Notice, TrialEnded, TrialProgress, TrialStarted, ended_by
from thalweg.files import is_full_disk
from thalweg.search.store.multi_objective.constraints import Constraints
from thalweg.search.store.optuna_study import Ledger, rests, settle, why_replaced
from thalweg.search.store.proposals import Proposal, Rejection
from thalweg.study import Study
from thalweg.training.checkpoints.places import relative
from thalweg.training.messages import Refusal, Report

_logger = logging.getLogger(__name__)

MAX_REJECTIONS = 3
"""Rejected trials in a row after which a search stops; it stops at once if its very first trial is rejected."""
MAX_TOO_LARGE = 30
"""The same for trials that break a constraint, from which the sampler learns."""


class StudyController:
    """Starts trials, takes their reports, ends each trial exactly once, and publishes events.

    Errors are kept, not raised: an exception would make Tune tear down the whole run. After the first one, which
    `failure` holds, no trial starts, and running trials stop at their next report.

    Args:
        ledger: The ledger of the study.
        publish: Called with each event.
        num_lanes: Trials that run at the same time.
        describe: Returns tags and documents for the records of a new trial.
        limit: Returns why no trial should begin any more; empty if more should.
        extend: Called once all trials have ended; returns whether it added some to the ledger.

    Attributes:
        failure: The error that ended the search early; None if there was none.
        limit: Why no more trials began; empty if no limit was reached.
        stopping: Whether the search was told to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        publish: Callable[[Event], None],
        *,
        num_lanes: int,
        describe: Callable[[Proposal], tuple[Mapping[str, str], Mapping[str, str]]] | None = None,
        limit: Callable[[], str] = str,
        extend: Callable[[], bool] | None = None,
    ) -> None:
        self.failure: Exception | None = None
        self.limit = ""
        self._limit = limit
        self._ledger = ledger
        self._publish = publish
        self._num_lanes = num_lanes
        self._describe = describe or (lambda proposal: ({}, {}))
        self._extend = extend or (_adds_none if ledger.space.study.waits else None)
        self._running: dict[int, Report | Refusal | None] = {}  # last answer by number
        self._resting: dict[
            int, Report | Refusal | None
        ] = {}  # members of a population that wait for the others
        self._described: set[int] = set()  # trials whose documents were published
        self._answered_at: dict[int, float] = {}
        self._num_rejections = 0
        self._any_began = self.stopping = False

    @property
    def running(self) -> tuple[int, ...]:
        """Numbers of the trials that have begun and not ended."""
        return tuple(self._running)

    @property
    def study(self) -> str:
        """Identity of the study."""
        return self._ledger.identity

    def silent(self, at_least_s: float = 60.0) -> dict[int, float]:
        """Returns the seconds since the last evaluation of each running trial, if they are at least ``at_least_s``."""
        now = time.monotonic()
        seconds = {number: now - self._answered_at.get(number, now) for number in self._running}
        return {number: past for number, past in seconds.items() if past >= at_least_s}

    def stop(self) -> None:
        """Starts no more trials, and stops the running ones at their next report."""
        self.stopping = True

    def halt(self, error: Exception) -> None:
        """Stops the study for a reason outside its trials, which end as interrupted."""
        if is_full_disk(error):
            error = OutputError(
                f"a study needs space on its disks, got {error}; free some and run the same command again: "
                "it goes on where it stood"
            )
        self._keep(error)

    def propose(self) -> Proposal | Literal["wait", "finished"]:
        """Starts a trial; returns ``wait`` while every lane is busy, ``finished`` if no more trials will start."""
        try:
            return self._propose()
        except Exception as error:
            self._keep(error)
            return "finished"

    def observe(self, number: int, answer: Report | Refusal) -> bool:
        """Takes a lane's answer; returns whether the trial must stop."""
        if number not in self._running:
            return True
        try:
            return self._observe(number, answer) or self._ending
        except Exception as error:
            self._keep(error)
            return True

    def conclude(self, number: int, answer: Report | Refusal | None) -> None:
        """Ends a trial that stopped; its last answer may have been observed before."""
        if number not in self._running:
            return
        if answer is not None and (_is_last(answer) or answer.samples > self._seen(number)):
            self.observe(number, answer)
        if number in self._running and not self._ending:
            self.fail(number, "the trial stopped before the end of its budget", "infrastructure")

    def fail(self, number: int, reason: str, ended_as: EndedAs) -> None:
        """Ends a trial as failed, with the reason as a sentence and as a word: it has no retries left."""
        if number not in self._running or self.failure is not None:  # its error may be what stops the study
            return
        try:
            self._end(number, ended_as, reason)
        except Exception as error:
            self._keep(error)

    def retry(self, number: int, reason: str) -> None:
        """Publishes that a trial is tried again."""
        self._tell(Notice(text=f"trial {number} is tried again: {reason}"))

    def close(self, reason: str = "interrupted: the search was stopped", *, signal: int = 0) -> None:
        """Ends running trials as interrupted, to be continued later; the storage stays claimed.

        Call it once, after Tune has returned or raised, with the signal that ended the search at once, if one did.
        """
        ended_as: EndedAs = "stopped_by_user" if self.stopping and not signal else ended_by(signal)
        seconds = {number: self._ledger.seconds(number) for number in (*self._running, *self._resting)}
        try:
            ended = self._ledger.interrupt_all(reason, ended_as)
        except Exception as error:  # the next opening of the study puts them back
            self._keep(error)
            ended = list(seconds)
        for number in ended:
            self._tell(self._ended(number, ended_as, seconds.get(number, 0.0), reason))

    def _propose(self) -> Proposal | Literal["wait", "finished"]:
        while True:
            if not self._ending:
                self._settle()
            if self._ending or not (self._ledger.num_open() or _may_grow(self._extend, self._running)):
                return "finished"
            if len(self._running) >= self._num_lanes or not self._ledger.num_open():
                return "wait"
            self.limit = self.limit or self._limit()
            if self.limit:
                return "finished"
            proposal = self._ledger.ask()
            if isinstance(proposal, Rejection):
                self._reject(proposal)
                continue
            self._begin(proposal)
            if not (why := why_replaced(self._ledger, proposal.number)):
                return proposal
            self._end(proposal.number, "pruned", why)

    def _settle(self) -> None:
        """Ends the members of a population that others replace."""
        for number, why, seconds in settle(self._ledger):
            self._tell(self._ended(number, "pruned", seconds, why))

    def _begin(self, proposal: Proposal) -> None:
        self._num_rejections, self._any_began = 0, True
        self._running[proposal.number] = None
        self._answered_at[proposal.number] = time.monotonic()
        for note in proposal.notes:
            self._tell(Notice(text=note))
        if proposal.resumed:
            self._running[proposal.number] = self._resting.pop(proposal.number, None)
            return
        self._tell(_started(proposal, *self._describe(proposal)))
        metric = self._ledger.space.study.metric
        for samples, value in proposal.curve:
            self._tell(
                TrialProgress(number=proposal.number, samples=samples, value=value, metrics={metric: value})
            )

    def _reject(self, rejection: Rejection) -> None:
        self._num_rejections += 1
        self._tell(TrialStarted(number=rejection.number, params=rejection.params, config={}))
        self._tell(self._ended(rejection.number, "infeasible", 0.0, str(rejection.error)))
        if _gives_up(rejection, self._num_rejections, self._any_began):
            raise rejection.error

    def _observe(self, number: int, answer: Report | Refusal) -> bool:
        before, self._running[number] = self._running[number], answer
        self._answered_at[number] = time.monotonic()
        if isinstance(answer, Refusal):
            if answer.kind == "study":
                raise StudyError(f"{answer.reason}; the study goes on where it stood")
            self._end(number, answer.ended_as, answer.reason)
            return True
        if before is None and answer.timings:
            self._ledger.took_up(number, sum(answer.timings.values()))
        deaths = (f"trial {number} went on in new workers: {death}" for death in answer.deaths)
        for note in (*deaths, *answer.notes):
            self._tell(Notice(text=note))
        try:
            is_new = self._record(number, answer)
        except TrialError as error:
            self._end(number, error.ended_as, str(error))
            return True
        if answer.done:
            self._end(number, "complete")
            return True
        if is_new and rests(self._ledger, number):
            self._resting[number] = self._running.pop(number)
            return True
        if is_new and self._ledger.should_stop(number):
            self._end(number, "pruned")
            return True
        return False

    def _record(self, number: int, report: Report) -> bool:
        """Records a report; returns whether it brought a new evaluation."""
        if not self._ledger.report(number, report):
            return False
        self._tell(_progress(number, report, {} if number in self._described else report.documents))
        self._described.add(number)
        return True

    def _end(self, number: int, ended_as: EndedAs, reason: str = "") -> None:
        seconds = self._ledger.seconds(number)
        if ended_as == "complete":
            self._ledger.complete(number)
        elif ended_as == "pruned":
            self._ledger.prune(number, reason)
        else:
            self._ledger.fail(number, reason, ended_as)
        self._tell(self._ended(number, ended_as, seconds, reason))

    def _ended(self, number: int, ended_as: EndedAs, seconds: float, reason: str) -> TrialEnded:
        answer = self._running.pop(number, self._resting.pop(number, None))
        ended = _ended(number, ended_as, answer, seconds, reason)
        broken = _broken(answer, self._ledger.space.study) if ended_as == "complete" else ""
        return replace(ended, breaks=broken)

    def _seen(self, number: int) -> int:
        answer = self._running[number]
        return -1 if answer is None else answer.samples

    @property
    def _ending(self) -> bool:
        return self.stopping or self.failure is not None

    def _keep(self, error: Exception) -> None:
        self.failure = self.failure or error

    def _tell(self, event: Event) -> None:
        try:
            self._publish(event)
        except Exception:  # a listener's trouble is not the study's
            _logger.warning("a listener failed on %s", type(event).__name__, exc_info=True)


def _started(proposal: Proposal, tags: Mapping[str, str], documents: Mapping[str, str]) -> TrialStarted:
    return TrialStarted(
        number=proposal.number,
        params=proposal.params,
        config=active(proposal.config),
        tags={"seed": str(proposal.config.seed), **tags, **proposal.tags()},
        documents=documents,
    )


def _progress(number: int, report: Report, documents: Mapping[str, str]) -> TrialProgress:
    return TrialProgress(
        number=number,
        samples=report.samples,
        value=report.value,
        metrics=report.measured,
        curves=report.curve,
        timings=report.timings,
        provenance={name: str(value) for name, value in report.provenance.items()},
        documents=documents,
    )


def _ended(
    number: int, ended_as: EndedAs, answer: Report | Refusal | None, seconds: float, reason: str
) -> TrialEnded:
    report = answer if isinstance(answer, Report) else None
    return TrialEnded(
        number=number,
        status=ended_as if ended_as in ("complete", "pruned") else "failed",
        value=report.value if report else None,
        samples=answer.samples if answer else 0,
        seconds=seconds,
        reason=reason,
        ended_as=ended_as,
        checkpoint=relative(report.checkpoint) if report and report.checkpoint else None,
    )


def _broken(answer: Report | Refusal | None, study: Study) -> str:
    """Says which constraints of its study a trial breaks; empty for none."""
    return Constraints.of_study(study).broken(answer.measured if isinstance(answer, Report) else {})


def _gives_up(rejection: Rejection, num: int, any_began: bool) -> bool:
    """Returns whether a search stops after so many rejections in a row."""
    if isinstance(rejection.error, ConstraintError):
        return num >= MAX_TOO_LARGE
    return num >= MAX_REJECTIONS or not any_began


def _may_grow(extend: Callable[[], bool] | None, running: Collection[int]) -> bool:
    """Returns whether a study has more trials: the values of running ones decide, then `extend` adds some or none."""
    return extend is not None and (bool(running) or extend())


def _adds_none() -> bool:
    """Extends a study that promotes trials: whether one goes on is decided by those that run."""
    return False


def _is_last(answer: Report | Refusal) -> bool:
    """Returns whether an answer is the last one of a trial."""
    return isinstance(answer, Refusal) or answer.done
