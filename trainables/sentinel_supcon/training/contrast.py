"""The contrastive losses of the family: SupCon by one or several classes, NT-Xent over blocks, and pairwise.

Published NT-Xent overwrites the logits of a scene whose class is ignored: its row then adds about log N to the loss and
nothing to the gradient, so that losses of batches with other shares of such scenes differ. Here they are not counted.
"""

from itertools import combinations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.pairs import Pairs
from thalweg.nn.contrastive.supcon import supcon
from thalweg.nn.contrastive.views import Contrast, as_rows, contrast
from trainables.sentinel_supcon.knobs import TuningKnobs

Views = Float[Tensor, "sample view embedding"]
Blocks = Float[Tensor, "sample block embedding"]
Anchors = Bool[Tensor, " sample"]


def supcon_of_label(
    views: Views, labels: Int64[Tensor, " sample"], knobs: TuningKnobs, ignored: int, done: float
) -> Contrast:
    """Returns SupCon of samples with one class each; an anchor without a positive does not count.

    Args:
        views: Embeddings of length 1.
        labels: Classes.
        knobs: Temperature, and which views are anchors.
        ignored: Label of samples that are neither anchors nor candidates.
        done: Share of the stage that is done.
    """
    return supcon(
        views,
        labels,
        temperature=value_at(knobs.temperature, done),
        ignored=ignored,
        anchor_views=_anchor_views(knobs),
    )


def supcon_of_classes(
    views: Views, classes: Bool[Tensor, "sample class_"], knobs: TuningKnobs, done: float
) -> Contrast:
    """Returns SupCon of samples with several classes each.

    Two samples are positives by the share of their classes that they have in common (Jaccard), which for one class each
    is SupCon. A sample without a class is neither anchor nor candidate.

    Args:
        views: Embeddings of length 1.
        classes: Which classes a sample has.
        knobs: Temperature, and which views are anchors.
        done: Share of the stage that is done.
    """
    num_samples, num_views, _ = views.shape
    anchor_views = _anchor_views(knobs)
    return contrast(
        as_rows(views),
        Pairs(values=classes, weigh=_jaccard).of_views(num_views),
        temperature=value_at(knobs.temperature, done),
        present=classes.any(1).repeat(num_views),
        num_anchors=None if anchor_views is None else anchor_views * num_samples,
    )


def nt_xent_of_blocks(blocks: Blocks, temperature: float, anchors: Anchors) -> Contrast:
    """Returns NT-Xent: each block of a scene identifies its others among all blocks of all scenes.

    Args:
        blocks: Embeddings of length 1 by sensor and view.
        temperature: Divides the cosines.
        anchors: Scenes whose losses count; the others are negatives alone.
    """
    num_blocks = blocks.shape[1]
    scenes = torch.arange(len(blocks), device=blocks.device)
    pairs = Pairs(values=torch.stack((scenes, anchors.long()), 1), weigh=_of_one_scene)
    return contrast(as_rows(blocks), pairs.of_views(num_blocks), temperature=temperature)


def pairwise_nt_xent(blocks: Blocks, temperature: float, anchors: Anchors) -> Contrast:
    """Returns the mean of `nt_xent_of_blocks` over all pairs of blocks."""
    pairs = list(combinations(range(blocks.shape[1]), 2))
    found = [nt_xent_of_blocks(blocks[:, list(pair)], temperature, anchors) for pair in pairs]
    total = torch.stack([each.total for each in found]).mean()
    return Contrast(total, found[0].count)


def _anchor_views(knobs: TuningKnobs) -> int | None:
    return 1 if knobs.contrast == "one" else None


def _jaccard(anchors: Tensor, candidates: Tensor) -> Tensor:
    common = (anchors & candidates).sum(-1)
    return common / (anchors | candidates).sum(-1).clamp(min=1)


def _of_one_scene(anchors: Tensor, candidates: Tensor) -> Tensor:
    return (anchors[..., 0] == candidates[..., 0]) & (anchors[..., 1] > 0)
