"""Each stage samples what it reads and nothing else: views for the representation, the head's own for the head."""

import numpy as np
import pytest

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.testing.samples import check_training_samples
from trainables.geo_contrastive.config import PRESETS
from trainables.geo_contrastive.data import sampling
from trainables.geo_contrastive.task import task_for


@pytest.mark.parametrize("preset", ["tiny_forecast", "tiny_assimilation", "tiny_diffusion", "tiny_seasons"])
def test_no_stage_samples_what_another_one_reads(make_fields: MakeFields, preset: str) -> None:
    data = make_fields(60, variables=("t2m", "z"))
    task = task_for(
        PRESETS[preset].vary(data={"variables": ("t2m", "z")}, encoder={"latent_dim": 8, "width": 4})
    )
    check_training_samples(task, data)
    *before, head = task.stages()
    indices, keys = np.arange(4), np.arange(4, dtype=np.uint64)
    whole = task.training_batch(data, indices, keys)
    assert head.batch is not None
    of_head = head.batch(data, indices, keys)
    assert not any(name.startswith("view/") for name in of_head)
    for stage in before:
        assert stage.batch is not None
        views = stage.batch(data, indices, keys)
        assert views.keys() | of_head.keys() == whole.keys()
        assert "view/z" in views
        assert not any(
            name.startswith(("forecast/", "observed/", "masked/")) or name == "position" for name in views
        )


def test_a_head_on_latents_augments_nothing(make_fields: MakeFields, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*terms: object) -> None:
        raise AssertionError("a view was drawn")

    monkeypatch.setattr(sampling, "augmented", refuse)
    data = make_fields(60)
    head = task_for(PRESETS["tiny_forecast"]).stages()[-1]
    assert head.batch is not None
    assert "forecast/context" in head.batch(data, np.arange(4), np.arange(4, dtype=np.uint64))
