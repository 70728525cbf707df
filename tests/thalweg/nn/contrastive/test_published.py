"""Contrastive losses against pytorch-metric-learning, where the definitions agree, and where they do not.

Its NT-Xent is a mean over pairs of positives, which have only negatives beside them in the denominator; with two views
of each sample that is SimCLR's. With more views its denominator lacks the other positives. Its SupCon is L_out, and 0
for a batch of a single class, where the formula is not 0.
"""

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss, SupConLoss
from torch import Tensor
from torch.nn import functional

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
