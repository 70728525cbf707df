"""Lanes in this process: a search with everything but Ray, for what a group of Ray's workers would not change."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest

from thalweg.lanes.channel import Command
from thalweg.lanes.lane import LaneSettings
from thalweg.lanes.micro_batches import FittingMicroBatches
from thalweg.lanes.trainable import ANSWER, LaneTrainable
from thalweg.lanes.worker import Crew
from thalweg.search import run, tune_adapters
from thalweg.search.controller import StudyController
from thalweg.search.starting import early_start
from thalweg.search.tune_adapters import StudySearcher
from thalweg.study import Study
from thalweg.training.messages import Refusal, Report, TrialOrder
from thalweg.training.process_group import join


class LocalLane:
    """A lane whose only worker is this process.

    Attributes:
        name: What reports say of it.
        deaths: None: this process has no other in its place.
    """

    name = "local"
    deaths: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._crew = Crew(join())
        self._micro_batches = FittingMicroBatches()

    def advance(self, order: TrialOrder, reached: int) -> Report | Refusal:
        """Trains a trial to its next evaluation."""
        return self._micro_batches.advance(order, lambda order: self._attempt(order, reached))

    def _attempt(self, order: TrialOrder, reached: int) -> Report | Refusal:
        answer = self._crew.follow(Command(verb="advance", order=order, reached=reached))
        assert isinstance(answer, Report | Refusal)
        return answer

    def stop(self) -> None:
        """Frees the last trial."""
        self._crew.drop()


class LocalTrainable(LaneTrainable):
    """The trainable of such a lane."""

    def __init__(self, settings: LaneSettings) -> None:
        self._settings = settings
        self._lane: Any = LocalLane()


@contextmanager
def local_lanes() -> Iterator[None]:
    """Runs searches on one lane in this process while it is open."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (run, early_start):
            patch.setattr(module, "connect", lambda *_, **__: nullcontext("here"))
        patch.setattr(run, "book", lambda *_: 1)
        patch.setattr(tune_adapters, "run_tune", _run)
        yield


def _run(controller: StudyController, settings: LaneSettings, study: Study, num_lanes: int) -> None:
    """Does what Tune does when nothing dies."""
    searcher, lane = StudySearcher(controller), LocalTrainable(settings)
    while isinstance(proposal := searcher.suggest("lane"), dict):
        lane.reset_config(proposal)
        result = lane.step()
        while not result["done"] and not controller.observe(proposal["number"], result[ANSWER]):
            result = lane.step()
        searcher.on_trial_complete("lane", result)
    lane.cleanup()
