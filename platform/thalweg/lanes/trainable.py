"""The Tune trainable that drives one lane: its actor lives as long as the lane, and runs trial after trial.

Tune creates it for a first trial and passes the next configuration to `reset_config`; each `step` is one
evaluation. Ray Train's worker group is started once in `setup`, in the placement group that Tune books for the whole
gang; the trainable itself takes nothing of it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ray import tune

from thalweg.errors import LaneDiedError
from thalweg.lanes.lane import Lane, LaneSettings
from thalweg.study_folder import trial_name
from thalweg.training.messages import Refusal, TrialOrder

ANSWER = "answer"
"""Key of a Tune result under which a lane's answer travels whole."""


class LaneTrainable(tune.Trainable):
    """A lane as Tune sees it. `setup` takes ``settings`` from ``tune.with_parameters``.

    A Tune configuration is ``{"number", "config", "checkpoint", "inherits", "baselines"}``; a result holds a
    `Report` or a `Refusal` under `ANSWER`, and Tune's own ``done``.
    """

    _late: LaneDiedError | None = None  # why the workers did not come up

    def setup(self, config: dict[str, Any], settings: LaneSettings | None = None) -> None:
        """Starts the lane and waits until its workers are warm.

        That they did not come up is raised by `step`: Ray tells nobody of an actor whose creation failed before its
        process has ended, and then no longer says why.
        """
        assert settings is not None
        self._settings = settings
        self._lane = Lane(settings, f"lane-{self.trial_id}")
        try:
            self._lane.wait_until_ready()
        except LaneDiedError as error:
            self._late = error
        self._take(config)

    def _take(self, config: dict[str, Any]) -> None:
        settings = self._settings
        self._order = TrialOrder(
            trial=trial_name(config["number"]),
            family=settings.family,
            config=config["config"],
            metric=settings.metric,
            evaluations=settings.evaluations,
            data_root=settings.data_root,
            directory=str(settings.folder.checkpoints),
            resumes=config.get("checkpoint"),
            inherits=config.get("inherits"),
            baselines=config["baselines"],
            keep_last=settings.keep_last,
            starting_points=settings.folder.starting_weights_of(config["config"].get("starts_from", ())),
            study=settings.study,
            code=settings.code,
        )
        self._reached = 0

    def step(self) -> dict[str, Any]:
        """Trains to the next evaluation.

        Raises:
            LaneDiedError: The workers did not come up, or are gone for good.
        """
        began = time.perf_counter()
        try:
            if self._late is not None:
                raise self._late
            answer = self._lane.advance(self._order, self._reached)
        except LaneDiedError:
            self._lane.abandon()
            raise
        self._reached = answer.samples
        if isinstance(answer, Refusal):
            return {ANSWER: replace(answer, reason=self._keep_details(answer)), "done": True}
        busy = sum(seconds for name, seconds in answer.timings.items() if name != "prepare_s")
        report = replace(
            answer,
            timings={**answer.timings, "lane_s": time.perf_counter() - began - busy},
            provenance={**answer.provenance, "lane": self._lane.name},
            deaths=tuple(self._lane.deaths),
        )
        return {ANSWER: report, "done": report.done}

    def _keep_details(self, refusal: Refusal) -> str:
        """Writes a traceback into the study's folder, and returns the reason with its path."""
        if not refusal.details:
            return refusal.reason
        file = self._settings.folder.failure(self._order.trial)
        try:
            file.parent.mkdir(exist_ok=True)
            file.write_text(refusal.details)
        except OSError as error:  # the disk may be full; the reason must still be reported
            return f"{refusal.reason} (no traceback: {error})"
        return f"{refusal.reason} (traceback: {file.parent.name}/{file.name})"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial; the workers stay, and free the last trial when they begin the next."""
        self._take(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Returns the samples reached only: the workers write the trial's checkpoints themselves."""
        return {"reached": self._reached}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Resumes after the last report; the workers find the weights by the trial's name."""
        self._reached = int((checkpoint or {}).get("reached", 0))

    def cleanup(self) -> None:
        """Ends the lane."""
        self._lane.stop()
