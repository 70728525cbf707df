"""A lane: a warm worker group of Ray Train, and the channel through which it is driven."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import train

from thalweg.errors import LaneDiedError
from thalweg.lanes import causes_of_death, stages
from thalweg.lanes.channel import Channel, Command, Restarted, Silence
from thalweg.lanes.entrance import Coroner, enter
from thalweg.lanes.micro_batches import FittingMicroBatches
from thalweg.lanes.private_torch import TorchGroup
from thalweg.lanes.private_train import LaneTrainer
from thalweg.lanes.resources import Gang
from thalweg.study_folder import StudyFolder
from thalweg.training.messages import Refusal, Report, TrialOrder

_NO_NEWS = "there was no news of them"
_LONGER = 10
"""Workers are killed after this many times their longest silence so far, but not before the study's `max_silence_s`."""


_LAST_WORDS_S = 5.0
"""Seconds in which a process that abandons its lane can tell Ray why."""


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
        keep_last: Retention: number of a trial's newest checkpoints that are kept.
        max_restarts: Times that workers may die at one evaluation of a trial before the trial fails.
        max_silence_s: Seconds without a batch after which workers are killed; None waits for ever.
        study: Identity of the study, which its checkpoints record.
        code: Hash of each module's code that the study has recorded, by its path.
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
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> StudyFolder:
        """The names below the study's folder."""
        return StudyFolder(Path(self.directory))


class Lane:
    """A warm worker group and the channel through which it is driven.

    Args:
        settings: Size of the group and its folders.
        name: Name of the lane.

    Attributes:
        deaths: Why groups of workers were replaced during the last `advance`.
    """

    def __init__(self, settings: LaneSettings, name: str) -> None:
        self.name = name
        self.deaths: list[str] = []
        self._settings = settings
        self._micro_batches = FittingMicroBatches()
        self._ended = ""  # why this lane has ended its own workers
        self._details = ""
        self._error: BaseException | None = None
        self._stage = stages.stage_file(settings.folder.lanes, name)
        stages.begin(self._stage, "starting its workers")
        self._channel: Any = ray.remote(num_cpus=0)(Channel).remote(settings.gang.num_workers)
        trainer = self._trainer(name)
        self._thread = threading.Thread(target=self._fit, args=(trainer,), daemon=True, name=name)
        self._thread.start()

    def _trainer(self, name: str) -> LaneTrainer:
        gang = self._settings.gang
        return LaneTrainer(
            enter,
            train_loop_config={
                "channel": self._channel,
                "num_threads": max(int(gang.cpus), 1),
                "traces": str(self._settings.folder.lanes / name),
                "stage": str(self._stage),
            },
            backend_config=TorchGroup(backend="nccl" if gang.gpus else "gloo", stage=str(self._stage)),
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

    def _fit(self, trainer: LaneTrainer) -> None:
        try:
            trainer.fit()
        except BaseException as error:
            self._error = error

    def wait_until_ready(self) -> list[Any]:
        """Waits for the workers and returns their `Ready`, by rank.

        Raises:
            LaneDiedError: They did not come up.
        """
        answers = self._receive(self._settings.start_timeout_s)
        if not isinstance(answers, list):
            return self.wait_until_ready()
        stages.begin(self._stage, "training to its first evaluation")
        return answers

    def advance(self, order: TrialOrder, reached: int) -> Report | Refusal:
        """Trains a trial to its next evaluation, with at most `max_restarts` restarts of the group.

        Micro-batches that do not fit into memory are halved.

        Returns:
            The report of rank 0, or the reason why the trial cannot go on.

        Raises:
            LaneDiedError: The group is gone for good.
        """
        self.deaths, self._details = [], ""
        try:
            return self._micro_batches.advance(order, lambda order: self._attempt(order, reached))
        finally:
            stages.end(self._stage)

    def _attempt(self, order: TrialOrder, reached: int) -> Report | Refusal:
        for _ in range(self._settings.max_restarts + 1):
            ray.get(self._channel.send.remote(Command(verb="advance", order=order, reached=reached)))
            answers = self._receive(None)
            if not isinstance(answers, Restarted):
                refusals = [answer for answer in answers if isinstance(answer, Refusal)]
                return refusals[0] if refusals else answers[0]
            self._bury(answers)
            if self.deaths[-1] == causes_of_death.NO_MEMORY:  # as it was, it would die again
                break
        return Refusal(
            kind="group",
            reason=f"its workers were lost{self._how_often()} after {reached} samples: "
            f"{'; '.join(dict.fromkeys(self.deaths))}{self._way_out()}",
            ended_as=causes_of_death.word(self.deaths),
            details=self._details,
            samples=reached,
            can_halve=self.deaths[-1] == causes_of_death.NO_MEMORY,
        )

    def _bury(self, lost: Restarted) -> None:
        before, after = ([ready.evidence for ready in group] for group in (lost.before, lost.after))
        self.deaths.append(self._ended or causes_of_death.explain(lost.said, before, after))
        self._ended = ""
        self._details = causes_of_death.traceback_of(before) or self._details

    def _how_often(self) -> str:
        return f" {len(self.deaths)} times" if len(self.deaths) > 1 else ""

    def _way_out(self) -> str:
        if causes_of_death.NO_MEMORY in self.deaths:
            return "; run fewer --lanes, lower the size of the model, or end what else runs there"
        if any(death.startswith(_NO_NEWS) for death in self.deaths):
            return "; if a batch may take so long, raise max_silence_s of the study"
        return ""

    def _receive(self, timeout_s: float | None) -> list[Any] | Restarted:
        pending = self._channel.receive.remote()
        waited, ended = 0.0, 0
        step_s = 1.0 if timeout_s is None else min(1.0, timeout_s)
        while True:
            done, _ = ray.wait([pending], timeout=step_s)
            if done:
                answers: list[Any] | Restarted = ray.get(done[0])
                return answers
            waited += step_s
            if not self._thread.is_alive():
                raise LaneDiedError(f"a lane must keep its workers, got {self._error}; see the study's logs")
            if timeout_s is not None and waited >= timeout_s:
                raise LaneDiedError(
                    f"a lane's workers must be up within {timeout_s:.0f} s, got no answer from {self._settings.gang}; "
                    "check the cluster with `ray status`, or, where other work fills this machine, set "
                    "RAY_worker_niceness=0, without which Ray's workers yield to it"
                )
            if timeout_s is None and self._end_if_silent():
                ended += 1
                if ended > self._settings.max_restarts + 1:  # those in its place do not even start
                    raise LaneDiedError(f"a lane's workers must get on, got {self._ended} {ended} times")

    def _end_if_silent(self) -> bool:
        """Kills workers that have been silent for too long; Ray Train replaces them."""
        limit = self._settings.max_silence_s
        if limit is None:
            return False
        silence: Silence = ray.get(self._channel.silence.remote())
        patience = self._settings.start_timeout_s if silence.starting else _LONGER * silence.longest
        if silence.seconds is None or silence.seconds < max(limit, patience):
            return False
        self._ended = f"{_NO_NEWS} for {causes_of_death.in_words(silence.seconds)}"
        ray.get(self._channel.lose.remote({}))
        for worker in silence.workers:
            ray.kill(ray.cloudpickle.loads(worker))
        return True

    def abandon(self) -> None:
        """Ends this process in a moment, and with it workers that are late.

        Ray keeps the process of an actor until nothing runs in it any more. Ray Train's run, which waits for the late
        workers, would keep it for ever, with the resources of the lane.
        """
        stages.end(self._stage)
        timer = threading.Timer(_LAST_WORDS_S, os.kill, args=(os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        """Ends the workers and frees their resources."""
        self._channel.send.remote(Command(verb="stop"))
        self._thread.join(timeout=10.0)
