"""Lets Ray Tune ask the study for trials."""

from typing import Any

from ray.tune.search import Searcher

from thalweg.lanes.trainable import ANSWER
from thalweg.search.controller import StudyDirector


class StudySearcher(Searcher):
    """Hands Tune the director's proposals, and tells it which trials ended.

    Each proposal is a dict ``{"number", "config", "checkpoint"}``. Give Tune ``num_samples=-1``:
    the director knows when the study is full. It also keeps to the number of lanes, so that a configuration
    is chosen when a lane is free for it and not before.
    """

    def __init__(self, director: StudyDirector) -> None:
        super().__init__()
        self._director = director
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        """Returns the next trial, None while every lane is busy, FINISHED when the study is full."""
        proposal = self._director.propose()
        if proposal == "wait":
            return None
        if isinstance(proposal, str):
            return str(Searcher.FINISHED)
        self._numbers[trial_id] = proposal.number
        return {
            "number": proposal.number,
            "config": proposal.config.model_dump(mode="json"),
            "checkpoint": proposal.checkpoint,
        }

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Ends a trial that stopped, or whose retries are used up."""
        number = self._numbers.pop(trial_id, None)
        if number is None:
            return
        if error:
            self._director.fail(number, "its lane died, and so did those of its retries")
        else:
            self._director.conclude(number, result.get(ANSWER) if result else None)

    def save(self, checkpoint_path: str) -> None:
        """Writes nothing: the study's storage is the truth, and Tune's own restore is not used."""

    def restore(self, checkpoint_path: str) -> None:
        """Reads nothing."""

    def __getstate__(self) -> dict[str, Any]:
        """Keeps locks and files out of the copy that Tune pickles beside its results."""
        return {}
