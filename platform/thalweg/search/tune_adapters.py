"""Adapters between Ray Tune and a study: Tune asks the study's controller for trials, reports to it and obeys it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from thalweg.errors import TrialError
from thalweg.events import EndedAs
from thalweg.files import is_full_disk
from thalweg.lanes.causes_of_death import NO_MEMORY, read, word
from thalweg.lanes.lane import LaneSettings
from thalweg.lanes.resources import Gang
from thalweg.lanes.trainable import ANSWER, LaneTrainable
from thalweg.search.controller import StudyController
from thalweg.study import Study
from thalweg.study_folder import StudyFolder
from thalweg.training.messages import Refusal, Report


class StudySearcher(Searcher):
    """Passes the controller's proposals to Tune, and the ends of trials to the controller.

    Each proposal is a dict ``{"number", "config", "checkpoint", "inherits", "baselines"}``. Give Tune
    ``num_samples=-1``: the controller knows when the study is full. It also limits the trials to the number of lanes: a
    configuration is chosen only when a lane is free for it. One trial at a time is asked to evaluate the baselines, so
    that the lanes do not all begin with the same work.
    """

    def __init__(self, controller: StudyController) -> None:
        super().__init__()
        self._controller = controller
        self._numbers: dict[str, int] = {}
        self._evaluates_baselines = ""  # Tune's name of the trial

    def suggest(self, trial_id: str) -> Any:
        """Returns the next trial, None while every lane is busy, FINISHED when the study is full."""
        proposal = self._controller.propose()
        if proposal == "wait":
            return None
        if isinstance(proposal, str):
            return str(Searcher.FINISHED)
        # One that rested goes on under its number; what Tune says later of its earlier stretch is of no interest.
        others = {tune_id: number for tune_id, number in self._numbers.items() if number != proposal.number}
        self._numbers = {**others, trial_id: proposal.number}
        if self._evaluates_baselines not in self._numbers:
            self._evaluates_baselines = trial_id
        return {
            "number": proposal.number,
            "config": proposal.config.model_dump(mode="json"),
            "checkpoint": proposal.checkpoint,
            "inherits": proposal.inherits,
            "baselines": self._evaluates_baselines == trial_id,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ends a trial that stopped, or whose retries are used up."""
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        if error:
            reason = "its lane died, and so did those of its retries"
            self._controller.fail(number, reason, "infrastructure")
        else:
            self._controller.conclude(number, result.get(ANSWER) if result else None)

    def save(self, checkpoint_path: str) -> None:
        """Writes nothing: the study's storage is the truth, and Tune's own restore is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Reads nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Keeps locks and files out of the copy that Tune pickles beside its results."""
        return {}


_MORE_MEMORY = "run fewer --lanes, lower optimization.micro_batch_size, or end what else runs there"


class StudyScheduler(FIFOScheduler):
    """First in, first out: passes results to the study's controller, and its decisions to Tune.

    In `tune_controller`, Tune passes to some methods its own controller, to others a proxy of it.
    """

    _supports_buffered_results = False

    def __init__(self, controller: StudyController) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._controller = controller
        self._furthest: dict[str, int] = {}
        self._given_up: set[str] = set()

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Observes a result; Tune calls this for every one that is not marked as done."""
        answer: Report | Refusal = result[ANSWER]
        stops = self._controller.observe(trial.config["number"], answer)
        if answer.samples > self._furthest.get(trial.trial_id, 0):
            self._furthest[trial.trial_id] = answer.samples
            trial.run_metadata.num_failures = 0  # a trial that gets on is never given up
        return str(TrialScheduler.STOP if stops else TrialScheduler.CONTINUE)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Records a failure, before Tune retries the trial or tells the searcher that it gives up."""
        reason, ended_as = _reason(trial)
        if is_full_disk(reason):
            self._controller.halt(TrialError(reason))
            self._given_up.add(trial.trial_id)
        elif trial.status == Trial.ERROR:  # Tune marks it so before it queues the trial again
            self._controller.retry(trial.config["number"], reason)
        else:
            self._controller.fail(trial.config["number"], reason, ended_as)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Returns the next trial in line; first ends those that Tune gave up or should not have queued again."""
        running = set(self._controller.running)
        for trial in tune_controller.get_trials():
            if trial.status == Trial.PENDING and trial.trial_id in self._given_up:
                tune_controller.stop_trial(trial)  # else it would start a lane only to be stopped
            if trial.status == Trial.ERROR and trial.config.get("number") in running:
                self._controller.fail(trial.config["number"], *_reason(trial))
        return super().choose_trial_to_run(tune_controller)

    def __getstate__(self) -> dict[str, Any]:
        """Keeps locks and files out of the copy that Tune pickles beside its results."""
        return {}


def _reason(trial: Trial) -> tuple[str, EndedAs]:
    """Returns why a lane died, from what Tune wrote about a trial's last failure, as a sentence and as a word.

    The sentence adds a way out if memory ran out.
    """
    # `trial.get_error()` reads the results' storage, where Tune copies this file only now and then.
    file = Path(trial.error_file or "")
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if not text.strip():
        return "its lane died", "infrastructure"
    why = read(text)
    return f"{why}; {_MORE_MEMORY}" if why == NO_MEMORY else why, word({why})


def booking(gang: Gang) -> tune.PlacementGroupFactory:
    """Returns what Tune books for a lane, all or nothing: nothing for the trainable, then what each worker needs."""
    return tune.PlacementGroupFactory([{}, *[gang.bundle] * gang.num_workers])


def run_tune(controller: StudyController, settings: LaneSettings, study: Study, num_lanes: int) -> None:
    """Runs trials in Tune until the study is full or stops.

    Args:
        controller: Controls the study.
        settings: Settings that all lanes share.
        study: The study's settings.
        num_lanes: Trials that run at the same time.
    """
    trainable = tune.with_resources(
        tune.with_parameters(LaneTrainable, settings=settings),
        booking(settings.gang),
    )
    folder = StudyFolder(Path(settings.directory))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(controller),
            scheduler=StudyScheduler(controller),
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=num_lanes,  # and as many lanes may start at once
        ),
        run_config=tune.RunConfig(
            name=folder.tune.name,
            storage_path=str(folder.path),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=study.max_retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()
