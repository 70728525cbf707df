"""The task of the representation: what it takes from other studies and gives to others."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.geo_contrastive.conftest import MakeFields
from thalweg.config import parse
from thalweg.errors import ConfigError
from trainables.geo_contrastive.config import PRESETS, GeoContrastive
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.model.field_model import FieldModel
from trainables.geo_contrastive.representation.task import RepresentationTask
from trainables.geo_contrastive.task import task_for

NAMES = ("t2m", "u")
TINY = PRESETS["tiny"].vary(data={"variables": NAMES}, encoder={"latent_dim": 8, "width": 4})


def test_a_study_that_starts_from_another_takes_its_architecture_and_not_its_objective() -> None:
    theirs = TINY.vary(
        encoder={"latent_dim": 12}, decoder={"kind": "deconvolution"}, objective={"kind": "barlow"}
    )
    other = TINY.vary(data={"variables": ("z",)})
    found = RepresentationTask(other).inherit({"first": TINY, "second": theirs})
    assert (found.data, found.encoder, found.decoder) == (theirs.data, theirs.encoder, theirs.decoder)
    assert found.objective == other.objective
    built = RepresentationTask(found).build(None)
    prefixes = RepresentationTask(found).starting_weights()
    kept = {name for name, _ in built.named_parameters() if not name.startswith(prefixes)}
    assert {name.partition(".")[0] for name in kept} == {"projector"}


def test_an_encoder_alone_encodes_as_it_did(make_fields: MakeFields) -> None:
    data, task = make_fields(days=20, variables=NAMES), RepresentationTask(TINY)
    model = task.build(task.facts(data)).eval()
    assert isinstance(model, FieldModel)
    batch = task.evaluation_batch(data, "val", np.arange(3))
    fields = {name: batch[f"clean/{name}"] for name in NAMES}
    before, outputs = model.encode(fields), task.predict(model, batch)
    assert torch.equal(before, outputs["latent"])
    part = task.parts()["encoder"](model)
    assert [name for name, _ in part.named_children()] == ["encoder"]
    assert torch.equal(part.encode(fields), before)  # type: ignore[operator]


@pytest.mark.parametrize(("decay", "kind", "refused"), [(0.0, "simclr", True), (0.0, "barlow", False)])
def test_weighed_negatives_need_a_decay(decay: float, kind: str, refused: bool) -> None:
    values: dict[str, Any] = TINY.model_dump(mode="json")
    values["pairs"]["decay"] = decay
    values["objective"] |= {"kind": kind, "weighted_negatives": True}
    if not refused:
        assert parse(GeoContrastive, values).pairs.decay == 0
        return
    with pytest.raises(ConfigError, match=r"pairs.decay must be above 0 .* got 0.*set it to 0.1"):
        parse(GeoContrastive, values)


def test_a_correlation_needs_two_days() -> None:
    TINY.vary(objective={"kind": "barlow"}, optimization={"batch_size": 2})
    TINY.vary(objective={"kind": "simclr"}, optimization={"batch_size": 1})
    for kind in ("barlow", "simclr_barlow"):
        with pytest.raises(
            ConfigError, match=rf"batch_size must be 2 or more .* {kind}, got 1, .* set it to 32"
        ):
            TINY.vary(objective={"kind": kind}, optimization={"batch_size": 1})


def test_soft_negatives_need_a_record_that_is_long_enough(make_fields: MakeFields) -> None:
    data = make_fields(days=200, variables=NAMES)
    days = data.day[data.days["train"].start : data.days["train"].stop]
    span = int(days[-1] - days[0])
    for gap, kind in ((span, "simclr"), (span + 1, "supcon"), (span + 1, "autoencoder")):
        config = TINY.vary(pairs={"soft_negatives": True, "soft_gap": gap}, objective={"kind": kind})
        assert RepresentationTask(config).facts(data)
    far = TINY.vary(pairs={"soft_negatives": True, "soft_gap": span + 1})
    with pytest.raises(
        ConfigError, match=rf"soft_gap must be at most the {span} days .* got {span + 1}; lower it"
    ):
        RepresentationTask(far).facts(data)
    head = TINY.vary(
        pairs={"soft_negatives": True, "soft_gap": span + 1},
        downstream=ForecastKnobs(share=1.0),
        starts_from=("study",),
    )
    assert task_for(head).facts(data)
