"""Lets the study stop trials that Ray Tune runs."""

from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from thalweg.errors import TrialError
from thalweg.files import is_full_disk
from thalweg.lanes.causes_of_death import NO_MEMORY, read
from thalweg.lanes.trainable import ANSWER
from thalweg.search.controller import StudyDirector
from thalweg.training.messages import Refusal, Report

_MORE_MEMORY = "run fewer --lanes, lower optimization.micro_batch_size, or end what else runs there"


class StudyScheduler(FIFOScheduler):
    """Passes results to the director and its decisions to Tune; starts trials in their order.

    Some calls bring Tune's controller, others a proxy of it.
    """

    _supports_buffered_results = False

    def __init__(self, director: StudyDirector) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._director = director
        self._furthest: dict[str, int] = {}
        self._given_up: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Hears a result; Tune calls this for every one that is not marked as done."""
        answer: Report | Refusal = result[ANSWER]
        stops = self._director.observe(trial.config["number"], answer)
        if answer.samples > self._furthest.get(trial.trial_id, 0):
            self._furthest[trial.trial_id] = answer.samples
            trial.run_metadata.num_failures = 0  # a trial that gets on is never given up
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Hears of a failure, before Tune tries again or tells the searcher that it gives up."""
        reason = _reason(trial)
        if is_full_disk(reason):
            self._director.halt(TrialError(reason))
            self._given_up.add(trial.trial_id)
        elif trial.status == Trial.ERROR:  # Tune marks it so before it queues the trial again
            self._director.retry(trial.config["number"], reason)
        else:
            self._director.fail(trial.config["number"], reason)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Returns the next trial in line; first ends those that Tune gave up, or should not have queued again."""
        running = set(self._director.running)
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING and trial.trial_id in self._given_up:
                tune_controller.stop_trial(trial)  # else it would start a lane only to be stopped
            if trial.status == Trial.ERROR and trial.config.get("number") in running:
                self._director.fail(trial.config["number"], _reason(trial))
        return super().choose_trial_to_run(tune_controller)

    def __getstate__(self) -> dict[str, Any]:
        """Keeps locks and files out of the copy that Tune pickles beside its results."""
        return {}


def _reason(trial: Trial) -> str:
    """Returns why a lane died, of what Tune wrote about a trial's last failure; for a lack of memory what to do."""
    # `trial.get_error()` reads the results' storage, where Tune copies this file only now and then.
    file = Path(trial.error_file or "")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if not text.strip():
        return "its lane died"
    why = read(text)
    return f"{why}; {_MORE_MEMORY}" if why == NO_MEMORY else why
