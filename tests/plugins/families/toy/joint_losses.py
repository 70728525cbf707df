"""Joint losses of several kinds, written plainly; tests put them in the place of the toy's own."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from families.toy.task import hidden
from thalweg.contract import Batch
from thalweg.nn.contrastive.barlow import barlow
from thalweg.nn.contrastive.nt_xent import nt_xent
from thalweg.nn.contrastive.pairs import by_distance
from thalweg.nn.contrastive.supcon import supcon
from thalweg.nn.contrastive.unit_length import unit_length
from thalweg.nn.contrastive.views import Contrast
from thalweg.stage_contract import Joined, JointLoss, Progress, Rows

TEMPERATURE = 0.5


class OnePart(JointLoss):
    """A joint loss of one part, made as the toy's own."""

    name: str

    def __init__(self, config: object = None) -> None:
        """Nothing goes wrong in it."""

    def weights(self, progress: Progress) -> Mapping[str, float]:
        """A weight that is not 1."""
        return {self.name: 0.75}


def log_shares(rows: Tensor, allowed: Tensor) -> Tensor:
    """Log of the softmax over the cosines of each row with those that are allowed."""
    units = nn.functional.normalize(rows, dim=1)
    logits = (units @ units.T / TEMPERATURE).masked_fill(~allowed, -torch.inf)
    return logits.log_softmax(1)


class SupCon(OnePart):
    """Samples of one label attract each other; some labels are unknown, and some anchors have nobody.

    Its embedding of mirror images is not used.
    """

    name = "supcon"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Hidden layers, labels and which of them are unknown."""
        companions = {"label": batch["tenth"], "ignored": batch["present"] == 0}
        return Rows(embeddings=hidden(model, batch), companions=companions)

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Supervised contrastive loss (arXiv:2004.11362, Eq. 2), whose count is that of anchors with a positive."""
        label, known = rows.companions["label"], ~rows.companions["ignored"]
        others = known[None] & known[:, None] & ~torch.eye(len(label), dtype=torch.bool)
        positive = others & (label == label[:, None])
        anchors = positive.any(1)
        # The anchor itself keeps an unknown row from being empty.
        shares = log_shares(rows.embeddings["sample"], others | ~others.any(1, keepdim=True))
        means = shares.masked_fill(~positive, 0).sum(1) / positive.sum(1).clamp(min=1)
        return Joined(sums={self.name: -means[anchors].sum()}, counts={self.name: anchors.sum()})


class NTXent(OnePart):
    """Each sample finds its mirror image among all views; some have none."""

    name = "nt_xent"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Two views and where the second one is present."""
        return Rows(embeddings=hidden(model, batch), companions={"present": batch["present"] > 0})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Normalised temperature-scaled cross-entropy (arXiv:2002.05709, Eq. 1) of the samples with both views."""
        present = rows.companions["present"]
        views = torch.cat([rows.embeddings["sample"][present], rows.embeddings["mirrored"][present]])
        count = len(views)
        shares = log_shares(views, ~torch.eye(count, dtype=torch.bool))
        partner = torch.arange(count).roll(count // 2)
        return Joined(
            sums={self.name: -shares[torch.arange(count), partner].sum()}, counts={self.name: count}
        )


class SoftNegatives(OnePart):
    """Samples repel each other the more the further they are apart in time."""

    name = "soft"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Two views and a time, in fp64."""
        return Rows(embeddings=hidden(model, batch), companions={"time": batch["targets"][:, 0].double()})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Cross-entropy whose negatives are weighted by 1 - exp(-distance)."""
        time = rows.companions["time"]
        weight = 1 - torch.exp(-(time - time[:, None]).abs())
        first, second = (
            nn.functional.normalize(rows.embeddings[name], dim=1) for name in ("sample", "mirrored")
        )
        likeness = torch.exp(first @ second.T / TEMPERATURE)
        negatives = (likeness * weight.float()).sum(1)
        own = likeness.diagonal()
        return Joined(
            sums={self.name: -torch.log(own / (own + negatives)).sum()},
            counts={self.name: float(len(time))},
        )


class Barlow(OnePart):
    """Views agree in each feature, and features differ from one another."""

    name = "barlow"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Two views."""
        return Rows(embeddings=hidden(model, batch))

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Distance of the cross-correlation over the global batch from the identity (arXiv:2103.03230, Eq. 1)."""
        first, second = (
            (values - values.mean(0)) / (values.std(0, correction=0) + 1e-4)
            for values in (rows.embeddings["sample"], rows.embeddings["mirrored"])
        )
        correlation = first.T @ second / len(first)
        diagonal = correlation.diagonal()
        apart = correlation.square().sum() - diagonal.square().sum()
        return Joined(sums={self.name: (diagonal - 1).square().sum() + 0.1 * apart}, counts={self.name: 1.0})


def shared(name: str, found: Contrast) -> Joined:
    """A loss of `thalweg.nn.contrastive` as the platform takes it, its count a tensor."""
    return Joined(sums={name: found.total}, counts={name: found.count})


class SharedSupCon(SupCon):
    """The same by the function that all families share."""

    name = "shared_supcon"

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """One view of each sample, of which some are absent."""
        known = ~rows.companions["ignored"]
        views = unit_length(rows.embeddings["sample"])[:, None]
        labels = rows.companions["label"]
        return shared(self.name, supcon(views, labels, temperature=TEMPERATURE, present=known[:, None]))


class SharedNTXent(NTXent):
    """The same by the function that all families share."""

    name = "shared_nt_xent"

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Two views, which are present or absent together."""
        views = torch.stack([unit_length(rows.embeddings[name]) for name in ("sample", "mirrored")], dim=1)
        present = rows.companions["present"][:, None].expand(-1, 2)
        return shared(self.name, nt_xent(views, temperature=TEMPERATURE, present=present))


class SharedSoftNegatives(NTXent):
    """Views of other samples repel each other the more the further these are apart in time."""

    name = "shared_soft"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Two views, where they are present, and a time in fp64."""
        rows = super().embed(model, batch, progress)
        time = batch["targets"][:, 0].double()
        return Rows(embeddings=rows.embeddings, companions={**rows.companions, "time": time})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Two views, whose negatives weigh 1 - exp(-1 - distance)."""
        views = torch.stack([unit_length(rows.embeddings[name]) for name in ("sample", "mirrored")], dim=1)
        present = rows.companions["present"][:, None].expand(-1, 2)
        apart = by_distance(rows.companions["time"], lambda distance: torch.log1p(-torch.exp(-1 - distance)))
        return shared(self.name, nt_xent(views, temperature=TEMPERATURE, log_weights=apart, present=present))


class SharedBarlow(Barlow):
    """The same by the function that all families share, of samples some of which lack a view."""

    name = "shared_barlow"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Two views and where both are present."""
        return Rows(embeddings=hidden(model, batch), companions={"present": batch["present"] > 0})

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Correlation over the samples that are present."""
        first, second = rows.embeddings["sample"], rows.embeddings["mirrored"]
        present = rows.companions["present"]
        return shared(self.name, barlow(first, second, off_diagonal=0.1, counted=present))


class Nobody(SupCon):
    """All labels are unknown: no anchor has a positive, and the loss depends on no embedding."""

    name = "nobody"

    def embed(self, model: nn.Module, batch: Batch, progress: Progress) -> Rows:
        """Hidden layers and labels that are all unknown."""
        rows = super().embed(model, batch, progress)
        return Rows(
            embeddings=rows.embeddings,
            companions={**rows.companions, "ignored": torch.ones_like(batch["present"]) > 0},
        )

    def parts(self, rows: Rows, progress: Progress) -> Joined:
        """Nothing."""
        counts = {self.name: (~rows.companions["ignored"]).sum()}
        return Joined(sums={self.name: torch.zeros(())}, counts=counts)


LOSSES: dict[str, type[OnePart]] = {
    kind.name: kind
    for kind in (
        SupCon,
        NTXent,
        SoftNegatives,
        Barlow,
        Nobody,
        SharedSupCon,
        SharedNTXent,
        SharedSoftNegatives,
        SharedBarlow,
    )
}
