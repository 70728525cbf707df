"""Learning rate and stages as functions of the samples seen, so that a checkpoint needs no scheduler state."""

import math
from dataclasses import dataclass

from thalweg.config import Optimization
from thalweg.errors import ConfigError
from thalweg.stage_contract import Progress, Stage

ONECYCLE_START = 1 / 25
"""Learning rate at the beginning of one cycle, as a share of the peak."""


def lr_factor(knobs: Optimization, ratio: float) -> float:
    """Returns the factor on the peak learning rate for a step that ends at ``ratio`` of a stage.

    Linear warm-up, then a half cosine to ``min_lr_ratio`` (Loshchilov & Hutter, arXiv:1608.03983, Eq. 5
    without restarts) or a constant. One cycle (Smith & Topin, arXiv:1708.07120) rises as a half cosine from a 25th of
    the peak instead, as torch's OneCycleLR does, and leaves the momentum alone.

    Args:
        knobs: Warm-up share, schedule and final ratio.
        ratio: Share of the stage that is done once the step is taken, in (0, 1].
    """
    if ratio < knobs.warmup_ratio:
        risen = ratio / knobs.warmup_ratio
        return _half_cosine(ONECYCLE_START, 1.0, risen) if knobs.lr_schedule == "onecycle" else risen
    if knobs.lr_schedule == "constant":
        return 1.0
    fallen = (ratio - knobs.warmup_ratio) / (1.0 - knobs.warmup_ratio)
    return _half_cosine(1.0, knobs.min_lr_ratio, min(fallen, 1.0))


def _half_cosine(start: float, end: float, ratio: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * ratio))


@dataclass(frozen=True)
class Plan:
    """The stages of a trial laid over its budget.

    Attributes:
        stages: Stages in order.
        ends: Samples seen at the end of each stage; the last one is the budget.
    """

    stages: tuple[Stage, ...]
    ends: tuple[int, ...]

    @classmethod
    def lay(cls, stages: tuple[Stage, ...], total_samples: int) -> "Plan":
        """Lays stages over a budget.

        Raises:
            ConfigError: The shares do not add up to 1, or two stages have one name.
        """
        shares = [stage.share for stage in stages]
        if not math.isclose(sum(shares), 1.0, rel_tol=1e-6) or min(shares) <= 0:
            raise ConfigError(f"the shares of a task's stages must be positive and add up to 1, got {shares}")
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"stages of a task must have different names, by which records tell them apart, got {', '.join(names)}"
                "; rename one"
            )
        sums = [sum(shares[: number + 1]) for number in range(len(shares))]
        return cls(stages, (*(round(part * total_samples) for part in sums[:-1]), total_samples))

    def check_steps(self, batch_size: int) -> None:
        """Refuses a stage that no step would train.

        Raises:
            ConfigError: A stage is shorter than a batch.
        """
        starts = (0, *self.ends[:-1])
        for stage, start, end in zip(self.stages, starts, self.ends, strict=True):
            if len(self.stages) > 1 and end - start < batch_size:
                raise ConfigError(
                    f"a stage must be at least as long as a batch, got {end - start} samples for {stage.name!r} "
                    f"where optimization.batch_size is {batch_size}; raise the stage's share or the budget"
                )

    def index(self, samples: int) -> int:
        """Returns the number of the stage that trains after ``samples`` samples."""
        return next((i for i, end in enumerate(self.ends) if samples < end), len(self.ends) - 1)

    def progress(self, samples: int) -> Progress:
        """Returns where training stands after ``samples`` samples."""
        number = self.index(samples)
        start = self.ends[number - 1] if number else 0
        ratio = min((samples - start) / max(self.ends[number] - start, 1), 1.0)
        return Progress(
            samples=samples,
            total_samples=self.ends[-1],
            stage=self.stages[number].name,
            stage_ratio=ratio,
        )
