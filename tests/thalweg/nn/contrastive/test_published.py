"""Contrastive losses against published implementations, where the definitions agree, and where they do not.

NT-Xent and SupCon are compared with pytorch-metric-learning.

Its NT-Xent is a mean over pairs of positives, which have only negatives beside them in the denominator; with two views
of each sample that is SimCLR's. With more views its denominator lacks the other positives. Its SupCon is L_out, and 0
for a batch of a single class, where the formula is not 0.

Barlow Twins is compared with numbers that `BarlowTwinsLoss` of lightly 1.6.0 gave in fp64 for the same views, with
torch 2.15. It is no dependency of these tests, for it brings PyTorch Lightning, Hydra, OmegaConf and torchvision.
Both standardise by the biased variance plus 1e-5. They differ in three places: lightly refuses a single sample, which
has the weight 0 here; it takes no mask; and its loss is that of the batch, not a sum over samples with a count.
"""

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from torch import Tensor
from torch.nn import functional

from thalweg.nn.contrastive.barlow import barlow
from thalweg.nn.contrastive.nt_xent import nt_xent
from thalweg.nn.contrastive.supcon import supcon
from thalweg.nn.contrastive.temporal import temporal_nt_xent


@pytest.fixture
def views() -> Tensor:
    torch.manual_seed(0)
    return functional.normalize(torch.randn(7, 2, 5), dim=2)


def rows(views: Tensor) -> Tensor:
    return views.transpose(0, 1).flatten(0, 1)


def test_nt_xent_of_two_views_is_theirs(views: Tensor) -> None:
    theirs = NTXentLoss(temperature=0.3)(rows(views), torch.arange(7).repeat(2))
    ours = nt_xent(views, temperature=0.3)
    torch.testing.assert_close(ours.total / ours.count, theirs)
    temporal = temporal_nt_xent(views, torch.zeros(7, 2, dtype=torch.int64), num_positives=2, temperature=0.3)
    torch.testing.assert_close(temporal.total / temporal.count, theirs)


def test_nt_xent_of_three_views_is_not_theirs(views: Tensor) -> None:
    three = torch.cat([views, views[:, :1] + 0.1 * views[:, 1:]], dim=1)
    three = functional.normalize(three, dim=2)
    theirs = NTXentLoss(temperature=0.3)(rows(three), torch.arange(7).repeat(3))
    ours = nt_xent(three, temperature=0.3)
    assert float(ours.total / ours.count) > float(theirs) + 0.1


def test_supcon_is_theirs(views: Tensor) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1, 3, 3])
    theirs = SupConLoss(temperature=0.3)(rows(views), labels.repeat(2))
    ours = supcon(views, labels, temperature=0.3)
    torch.testing.assert_close(ours.total / ours.count, theirs)


def test_supcon_of_a_single_class_is_not_theirs(views: Tensor) -> None:
    one = torch.zeros(7, dtype=torch.int64)
    ours = supcon(views, one, temperature=0.3)
    assert float(SupConLoss(temperature=0.3)(rows(views), one.repeat(2))) == 0
    assert float(ours.total / ours.count) > 1


LIGHTLY = {
    0.005: (0.08235643929411701, 0.09841421186460603, 0.08783160695130734),
    0.3: (2.041302323696714, 0.35069148308482795, 0.32012694983088086),
}
"""By lambda: the loss, and the norms of its gradients for both views."""


@pytest.mark.parametrize("off_diagonal", sorted(LIGHTLY))
@pytest.mark.parametrize("masked", [False, True])
def test_barlow_twins_is_theirs(off_diagonal: float, masked: bool) -> None:
    places = torch.arange(45, dtype=torch.float64).view(9, 5)
    first = (1.7 * places).sin() + 3
    pair = [first, first + 0.5 * (2.3 * places**1.1).cos()]
    counted = None
    if masked:  # samples that are left out, whatever they hold, change nothing
        pair = [torch.cat([torch.full((2, 5), 7.0, dtype=torch.float64), view]) for view in pair]
        counted = torch.arange(11) >= 2
    pair = [view.requires_grad_() for view in pair]
    ours = barlow(pair[0], pair[1], off_diagonal=off_diagonal, counted=counted)
    slopes = torch.autograd.grad(ours.total / ours.count, pair)
    found = [float((ours.total / ours.count).detach()), *(float(slope.norm()) for slope in slopes)]
    assert found == pytest.approx(LIGHTLY[off_diagonal], rel=1e-12)
