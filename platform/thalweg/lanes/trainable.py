"""The Tune trainable that drives one lane: its actor lives as long as the lane, trials pass through it.

Tune creates it for a first trial and hands it the next configuration through `reset_config`; each `step` is one
evaluation. The worker group is Ray Train's, started once in `setup` and booked as one gang by Ray Train's own
placement group, so the trainable itself books nothing.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import train, tune
from ray.train.torch import TorchConfig, TorchTrainer

from thalweg.errors import LaneDiedError
from thalweg.lanes import deaths
from thalweg.lanes.channel import Channel, Command, Restarted, Silence
from thalweg.lanes.entrance import Coroner, enter
from thalweg.lanes.gang import Gang
from thalweg.study_folder import StudyFolder, trial_name
from thalweg.training.orders import Refusal, Report, TrialOrder

ANSWER = "answer"
"""Key of a Tune result under which a lane's answer travels whole."""
_NO_NEWS = "there was no news of them"
_LONGER = 10
"""A lane is silent when it has been so for this many times its longest silence so far, and for the study's limit."""


@dataclass(frozen=True, kw_only=True)
class LaneSettings:
    """What all lanes of a study share.

    Attributes:
        gang: Workers of a lane.
        family: Package of the family that is trained.
        metric: The objective.
        evaluations: Samples seen at each evaluation.
        data_root: Folder of the family's data sets.
        directory: Folder of the study: checkpoints, baselines, Ray Train's own files.
        start_timeout_s: Longest wait for the workers to come up.
        keep_last: Newest checkpoints of a trial that are kept.
        max_restarts: Times that workers may die at one evaluation of a trial before the trial is given up.
        max_silence_s: Seconds without a batch after which workers are ended; None waits for ever.
        study: Identity of the study, which its checkpoints bear.
    """

    gang: Gang
    family: str
    metric: str
    evaluations: tuple[int, ...]
    data_root: str
    directory: str
    start_timeout_s: float = 300.0
    keep_last: int = 1
    max_restarts: int = 2
    max_silence_s: float | None = 600.0
    study: str = ""

    @property
    def folder(self) -> StudyFolder:
        """The names below the study's folder."""
        return StudyFolder(Path(self.directory))


def _name_this_cluster() -> None:
    """Makes sure that Ray Train's clean-up asks this cluster, however many run on the machine.

    The actor that removes a dead lane's placement group finds its cluster by this variable only, and Ray Train hands
    its actors no variables but those on a list of its own.
    """
    from ray.train.v2._internal import constants

    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    constants.ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")


class Lane:
    """A warm worker group and the channel through which it is driven.

    Args:
        settings: Size of the group and where it keeps its files.
        name: Name of the lane.

    Attributes:
        deaths: Why groups of workers were replaced during the last `advance`.
    """

    def __init__(self, settings: LaneSettings, name: str) -> None:
        self.name = name
        self.deaths: list[str] = []
        self._settings = settings
        self._ended = ""  # why this lane has ended its own workers
        self._details = ""
        _name_this_cluster()
        self._error: BaseException | None = None
        self._channel: Any = ray.remote(num_cpus=0)(Channel).remote(settings.gang.num_workers)
        trainer = self._trainer(name)
        self._thread = threading.Thread(target=self._fit, args=(trainer,), daemon=True, name=name)
        self._thread.start()

    def _trainer(self, name: str) -> TorchTrainer:
        gang = self._settings.gang
        return TorchTrainer(
            enter,
            train_loop_config={
                "channel": self._channel,
                "num_threads": max(int(gang.cpus), 1),
                "traces": str(self._settings.folder.lanes / name),
            },
            torch_config=TorchConfig(backend="nccl" if gang.gpus else "gloo"),
            scaling_config=train.ScalingConfig(
                num_workers=gang.num_workers, use_gpu=gang.gpus > 0, resources_per_worker=gang.bundle
            ),
            run_config=train.RunConfig(
                name=name,
                storage_path=str(self._settings.folder.lanes),
                # `advance` counts per trial; a lane that lasts for a study may lose many groups, one by one.
                failure_config=train.FailureConfig(max_failures=-1),
                callbacks=[Coroner(self._channel)],  # type: ignore[list-item] # typed as for Ray Train's first version
            ),
        )

    def _fit(self, trainer: TorchTrainer) -> None:
        try:
            trainer.fit()
        except BaseException as error:
            self._error = error

    def wait_until_ready(self) -> list[Any]:
        """Waits for the workers and returns what they say of themselves, by rank.

        Raises:
            LaneDiedError: They did not come up.
        """
        answers = self._receive(self._settings.start_timeout_s)
        return answers if isinstance(answers, list) else self.wait_until_ready()

    def advance(self, order: TrialOrder, reached: int) -> Report | Refusal:
        """Trains a trial to its next evaluation, over as many restarts of the group as are allowed.

        Returns:
            The report of rank 0, or the reason why the trial cannot go on.

        Raises:
            LaneDiedError: The group is gone for good.
        """
        self.deaths, self._details = [], ""
        for _ in range(self._settings.max_restarts + 1):
            ray.get(self._channel.send.remote(Command(verb="advance", order=order, reached=reached)))
            answers = self._receive(None)
            if not isinstance(answers, Restarted):
                refusals = [answer for answer in answers if isinstance(answer, Refusal)]
                return refusals[0] if refusals else answers[0]
            self._bury(answers)
        return Refusal(
            kind="group",
            reason=f"its workers were lost{self._how_often()} after {reached} samples: "
            f"{'; '.join(dict.fromkeys(self.deaths))}{self._way_out()}",
            details=self._details,
            samples=reached,
        )

    def _bury(self, lost: Restarted) -> None:
        before, after = ([ready.evidence for ready in group] for group in (lost.before, lost.after))
        self.deaths.append(self._ended or deaths.explain(lost.said, before, after))
        self._ended = ""
        self._details = deaths.traceback_of(before) or self._details

    def _how_often(self) -> str:
        return f" {len(self.deaths)} times" if len(self.deaths) > 1 else ""

    def _way_out(self) -> str:
        if deaths.NO_MEMORY in self.deaths:
            return "; lower optimization.micro_batch_size, or run fewer --lanes"
        if any(death.startswith(_NO_NEWS) for death in self.deaths):
            return "; if a batch may take so long, raise max_silence_s of the study"
        return ""

    def _receive(self, timeout_s: float | None) -> list[Any] | Restarted:
        pending = self._channel.receive.remote()
        waited, ended = 0.0, 0
        while True:
            done, _ = ray.wait([pending], timeout=1.0)
            if done:
                answers: list[Any] | Restarted = ray.get(done[0])
                return answers
            waited += 1.0
            if not self._thread.is_alive():
                raise LaneDiedError(f"a lane must keep its workers, got {self._error}; see the study's logs")
            if timeout_s is not None and waited >= timeout_s:
                raise LaneDiedError(
                    f"a lane's workers must be up within {timeout_s:.0f} s, got no answer from {self._settings.gang}; "
                    "check the cluster with `ray status`"
                )
            if timeout_s is None and self._end_if_silent():
                ended += 1
                if ended > self._settings.max_restarts + 1:  # those in its place do not even start
                    raise LaneDiedError(f"a lane's workers must get on, got {self._ended} {ended} times")

    def _end_if_silent(self) -> bool:
        """Ends workers of whom nothing has been heard for too long; Ray Train starts others in their place."""
        limit = self._settings.max_silence_s
        if limit is None:
            return False
        silence: Silence = ray.get(self._channel.silence.remote())
        patience = self._settings.start_timeout_s if silence.starting else _LONGER * silence.longest
        if silence.seconds is None or silence.seconds < max(limit, patience):
            return False
        self._ended = f"{_NO_NEWS} for {deaths.in_words(silence.seconds)}"
        ray.get(self._channel.lose.remote({}))
        for worker in silence.workers:
            ray.kill(worker)
        return True

    def stop(self) -> None:
        """Ends the workers and frees their resources."""
        self._channel.send.remote(Command(verb="stop"))
        self._thread.join(timeout=10.0)


class LaneTrainable(tune.Trainable):
    """A lane as Tune sees it. `setup` takes ``settings`` from ``tune.with_parameters``.

    A Tune configuration is ``{"number", "config", "checkpoint"}``; a result holds a `Report` or a `Refusal` under
    `ANSWER`, and Tune's own ``done``.
    """

    def setup(self, config: dict[str, Any], settings: LaneSettings | None = None) -> None:
        """Starts the lane and waits until its workers are warm."""
        assert settings is not None
        self._settings = settings
        self._lane = Lane(settings, f"lane-{self.trial_id}")
        self._lane.wait_until_ready()
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
            baselines=True,
            keep_last=settings.keep_last,
            sources=settings.folder.source_files(config["config"].get("starts_from", ())),
            study=settings.study,
        )
        self._reached = 0

    def step(self) -> dict[str, Any]:
        """Trains to the next evaluation."""
        began = time.perf_counter()
        answer = self._lane.advance(self._order, self._reached)
        self._reached = answer.samples
        if isinstance(answer, Refusal):
            return {ANSWER: replace(answer, reason=self._keep_details(answer)), "done": True}
        busy = sum(seconds for name, seconds in answer.timings.items() if name != "prepare_s")
        report = replace(
            answer,
            timings={**answer.timings, "lane_s": time.perf_counter() - began - busy},
            facts={**answer.facts, "lane": self._lane.name},
            deaths=tuple(self._lane.deaths),
        )
        return {ANSWER: report, "done": report.done}

    def _keep_details(self, refusal: Refusal) -> str:
        """Writes a traceback into the study's folder, and returns a reason that says where."""
        if not refusal.details:
            return refusal.reason
        file = self._settings.folder.failure(self._order.trial)
        try:
            file.parent.mkdir(exist_ok=True)
            file.write_text(refusal.details)
        except OSError as error:  # the reason counts, and the disk may be full
            return f"{refusal.reason} (no traceback: {error})"
        return f"{refusal.reason} (traceback: {file.parent.name}/{file.name})"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next trial; the workers stay, and free the last one when they are told of the next."""
        self._take(new_config)
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Returns nothing of weight: the workers write the trial's checkpoints themselves."""
        return {"reached": self._reached}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Goes on after the last report; the workers find the weights by the trial's name."""
        self._reached = int((checkpoint or {}).get("reached", 0))

    def cleanup(self) -> None:
        """Ends the lane."""
        self._lane.stop()
