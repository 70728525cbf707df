"""What a search is after and what it may spend: the settings beside a search space."""

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from thalweg.config import Knobs, plain
from thalweg.contract import Mode

SamplerName = Literal["tpe", "random", "gp", "cmaes", "nsga2"]
SchedulerName = Literal["successive_halving", "hyperband", "none"]


class Study(Knobs):
    """One search: its objective, its budget in samples seen, who proposes, who stops, and on what."""

    metric: str = Field(min_length=1)
    """Metric of the family that decides; it must be declared search-invariant."""
    mode: Mode
    """Whether smaller or larger is better."""
    samples: int = Field(ge=1)
    """Budget of a trial, in training samples seen."""
    num_trials: int = Field(default=32, ge=1)
    """Trials that end as complete, pruned or failed; interrupted ones do not count."""
    num_evaluations: int = Field(default=8, ge=1)
    """Evaluations of a trial, equally spaced over its budget; the last one lies at its end."""
    sampler: SamplerName = "tpe"
    """Who proposes; `gp`, `cmaes` and `nsga2` learn from complete trials only, `tpe` from pruned ones too."""
    scheduler: SchedulerName = "successive_halving"
    """Who stops trials early."""
    min_samples: int | None = Field(default=None, ge=1)
    """Samples at the first rung; None takes samples / reduction_factor**2.

    A rung lies at the first evaluation at or above its number of samples.
    """
    reduction_factor: int = Field(default=3, ge=2, le=16)
    """One trial in so many passes a rung; rungs grow by the same factor."""
    num_lanes: int | Literal["auto"] = Field(default="auto")
    """Trials that train at the same time; `auto` takes as many as the cluster holds."""
    num_workers: int = Field(default=1, ge=1)
    """Processes that train one trial together."""
    cpus_per_worker: float = Field(default=1.0, ge=0)
    """CPU cores of a worker."""
    gpus_per_worker: float = Field(default=0.0, ge=0)
    """GPUs of a worker."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the sampler; the seed of a trial is a knob of its configuration."""
    num_startup_trials: int | None = Field(default=None, ge=1)
    """Random trials before the sampler learns; None takes a quarter of the trials, at most 10."""
    keep_checkpoints: int = Field(default=3, ge=0)
    """Best trials whose checkpoints are kept: the newest ones and that of the best evaluation."""
    keep_last: int = Field(default=1, ge=1)
    """Newest checkpoints of a trial that are kept; that of its best evaluation is kept besides."""
    max_retries: int = Field(default=2, ge=0)
    """How often a trial whose lane or search died is tried again; it counts anew once the trial gets further."""
    max_silence_s: float | None = Field(default=600.0, gt=0)
    """Seconds without a new batch after which a lane's workers are ended, and others continue its trial.

    A lane that was silent for longer, and then went on, may be so again: ten times its longest silence is waited
    where that is more. None waits for ever.
    """
    first_trials: tuple[dict[str, Any], ...] = ()
    """Parameter sets that are tried first; a parameter that a set leaves out is sampled."""

    @field_validator("first_trials", mode="before")
    @classmethod
    def _without_numpy(cls, trials: Any) -> Any:
        """Takes numpy's numbers, which JSON does not hold."""
        return plain(trials)

    @model_validator(mode="after")
    def _laws(self) -> Self:
        if isinstance(self.num_lanes, int) and self.num_lanes < 1:
            raise ValueError(f"num_lanes must be at least 1 or 'auto', got {self.num_lanes}")
        if not self.cpus_per_worker and not self.gpus_per_worker:
            raise ValueError(
                "a worker must book CPU cores or GPUs, got cpus_per_worker=0 and gpus_per_worker=0"
            )
        if self.num_evaluations > self.samples:
            raise ValueError(
                f"num_evaluations must be at most samples = {self.samples}, got {self.num_evaluations}"
            )
        if self.min_samples is not None and self.min_samples > self.samples:
            raise ValueError(f"min_samples must be at most samples = {self.samples}, got {self.min_samples}")
        return self

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Samples seen at each evaluation, rising, the last one at the budget."""
        count = self.num_evaluations
        return tuple(-(-self.samples * index // count) for index in range(1, count + 1))

    @property
    def rungs(self) -> tuple[int, ...]:
        """Evaluations at which trials may be stopped, rising; the end of the budget is none."""
        if self.scheduler == "none":
            return ()
        first = self.min_samples or math.ceil(self.samples / self.reduction_factor**2)
        rungs: list[int] = []
        while first < self.samples:
            point = next(point for point in self.evaluations if point >= first)
            if point < self.samples and point not in rungs:
                rungs.append(point)
            first *= self.reduction_factor
        return tuple(rungs)

    @property
    def startup_trials(self) -> int:
        """Random trials before the sampler learns."""
        return self.num_startup_trials or min(10, max(1, self.num_trials // 4))
