"""The shipped spaces ask and return what they did under their earlier texts, whose studies go on.

``tests/golden/spaces.txt`` was made by those texts. It holds, for each space, the fingerprint of its text and hashes of
its study, of its questions, and of the configurations that it gives in the middle of its ranges, for the study's first
trials, and for 50 drawn parameter sets. Knobs and settings that have their defaults are left out of the hashes, so that
one that is added changes none of them. A space that is to ask something else gets new lines, and loses its line in
``search_spaces/_earlier.py``.
"""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search_spaces._earlier import SAME
from thalweg import discovery
from thalweg.errors import StudyError
from thalweg.search.domains import ChoiceSet, Domain, Record
from thalweg.search.replay import AskedTrial, RecordedTrial
from thalweg.search.space import Space, load_space
from thalweg.search.store.definition import open_study
from thalweg.search.store.laws import definition_of, fingerprint
from thalweg.search.store.records import DEFINITION

GOLDEN = {
    name: (fingerprint_, hashes)
    for name, fingerprint_, *hashes in map(
        str.split,
        (Path(__file__).parents[1] / "golden/spaces.txt").read_text(encoding="utf-8").splitlines()[1:],
    )
}
NUM_DRAWS = 50


class DrawnTrial(AskedTrial):
    """Answers at random, each question by a die of its own, so that their order does not matter."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def _record(self, name: str, domain: Domain) -> Record:
        die = random.Random(f"{self._seed}/{name}")
        if isinstance(domain, ChoiceSet):
            return domain.records[die.randrange(len(domain.records))]
        if domain.whole:
            return die.randint(int(domain.low), int(domain.high))
        return domain.low + die.random() * (domain.high - domain.low)


def hashed(value: Any) -> str:
    """Returns the hash of JSON, whose numbers count to 12 digits: machines agree on these."""
    return hashlib.sha256(json.dumps(rounded(value), sort_keys=True).encode()).hexdigest()[:16]


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return f"{value:.12g}" if isinstance(value, float) else value


def hashes(space: Space) -> list[str]:
    """Returns the hashes of a space's study, questions and configurations."""
    trials: list[AskedTrial] = [RecordedTrial(params) for params in ({}, *space.study.first_trials)]
    trials += [DrawnTrial(seed) for seed in range(NUM_DRAWS)]
    configs = [
        [space(trial).model_dump(mode="json", exclude_defaults=True), trial.params] for trial in trials
    ]
    questions = [[[name, repr(domain)] for name, domain in trial.asked.items()] for trial in trials]
    if (
        len(space.study.first_trials) == space.study.num_trials
    ):  # a grid: nobody draws in the order of questions
        questions = [sorted(asked) for asked in questions]
    # Neither default is part of what a space says: a study goes on with those that it began with.
    implied = {"sampler", "scheduler"} - space.study.model_fields_set
    return [
        hashed(space.study.model_dump(mode="json", exclude_defaults=True, exclude=implied)),
        hashed(questions),
        hashed(configs),
    ]


@pytest.mark.parametrize("name", GOLDEN)
def test_a_space_asks_and_returns_what_it_did(name: str) -> None:
    study, questions, configs = hashes(load_space(name))
    assert {"study": study, "questions": questions, "configurations": configs} == dict(
        zip(("study", "questions", "configurations"), GOLDEN[name][1], strict=True)
    )


def test_every_earlier_text_stands_for_one_that_is_there() -> None:
    texts = {fingerprint(load_space(name).file): name for name in discovery.names("search_spaces")}
    assert {texts.get(current) for current in SAME.values()} == set(GOLDEN)
    assert {(name, earlier) for name, (earlier, _) in GOLDEN.items()} <= {
        (texts[current], earlier) for earlier, current in SAME.items()
    }


def storage_of(space: Space, stored: dict[str, Any]) -> optuna.storages.InMemoryStorage:
    """Returns a storage with a study of the space in which one trial was trained."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(study_name="s", storage=storage)
    study.set_user_attr(DEFINITION, definition_of(space) | stored)
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5}))
    return storage


@pytest.mark.parametrize("name", GOLDEN)
def test_a_study_of_the_earlier_text_under_its_earlier_name_goes_on(name: str) -> None:
    space = load_space(name)
    earlier = {"space": f"search_spaces.{name}", "fingerprint": GOLDEN[name][0]}
    assert definition_of(space)["fingerprint"] != earlier["fingerprint"]
    assert len(open_study(storage_of(space, earlier), "s", space).trials) == 1


def test_a_study_of_another_text_or_another_space_does_not() -> None:
    space = load_space("water_mae_gb")
    for stored, law in (
        ({"fingerprint": GOLDEN["water_mae_masking"][0]}, "keeps its version of its search space"),
        (
            {"space": "search_spaces.water_mae_masking"},
            "keeps its search space: 's' has search_spaces.water_mae_mas",
        ),
        ({"space": "lab.water_mae_gb"}, "keeps its search space: 's' has lab"),
    ):
        with pytest.raises(StudyError, match=law):
            open_study(storage_of(space, stored), "s", space)


def test_no_space_copies_a_configuration_without_checking_it() -> None:
    files = [load_space(name).file for name in discovery.names("search_spaces")]
    assert [file for file in files if "model_copy" in file.read_text(encoding="utf-8")] == []
