"""A lane whose trials end as their moods say; its processes import Tune and no torch."""

import errno
import math
import os
import uuid
from pathlib import Path
from typing import Any

from ray import tune

from thalweg.training.messages import Refusal, Report


class MoodyLane(tune.Trainable):
    """A lane whose trials do at their second report what their mood says."""

    def setup(self, config: dict[str, Any], **lane: Any) -> None:
        """Takes ``marks``, a folder; ``moods`` by the trial's number; and ``key``, that of an answer in a result."""
        self.marks: Path = lane["marks"]
        self.moods: dict[int, str] = lane["moods"]
        self.key: str = lane["key"]
        (self.marks / f"lane-{uuid.uuid4().hex}").touch()
        self.reset_config(config)

    def reset_config(self, config: dict[str, Any]) -> bool:
        """Takes the next trial."""
        self.proposal, self.samples = config, 0
        return True

    def step(self) -> dict[str, Any]:
        """Reports a loss that is the worse the later the trial began, or does what the mood says."""
        self.samples += 100
        number = self.proposal["number"]
        mood = self.moods.get(number) if self.samples == 200 else None
        if mood == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if mood == "raise":
            raise RuntimeError("the sensor is broken")
        self._die_at_each_of_two_points()
        if mood == "give_up":
            refusal = Refusal(kind="trial", samples=200, reason="no room", ended_as="out_of_memory")
            return {self.key: refusal, "done": True}
        loss = math.nan if mood == "nan" else self.proposal["config"]["x"] ** 2 + number
        done = self.samples == 800
        report = Report(
            samples=self.samples, samples_seen=self.samples, value=loss, metrics={"loss": loss}, done=done
        )
        return {self.key: report, "done": done}

    def _die_at_each_of_two_points(self) -> None:
        mark = self.marks / f"{self.proposal['number']}-{self.samples}"
        if (
            self.moods.get(self.proposal["number"]) == "die_on"
            and self.samples in (200, 400)
            and not mark.exists()
        ):
            mark.touch()
            os._exit(1)
