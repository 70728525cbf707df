"""The contrastive losses by name: how the views of days are compared with one another.

A term takes the projections of all views (sample, role, dim) of a global batch and what travels beside them:
``present``, ``role_day`` and ``role_season`` (sample, role). The first three roles are the day and
its temporal positives; views of further roles are negatives of NT-Xent and of nothing else. The last argument is the
share of the stage that is done, at which schedules are read.
"""

from collections.abc import Callable, Mapping

from jaxtyping import Float
from torch import Tensor

from thalweg.knobs.scheduled import value_at
from thalweg.nn.contrastive.barlow import barlow
from thalweg.nn.contrastive.supcon import supcon
from thalweg.nn.contrastive.temporal import temporal_nt_xent
from thalweg.nn.contrastive.unit_length import unit_length
from thalweg.nn.contrastive.views import Contrast
from trainables.geo_contrastive.data.pairs import NUM_POSITIVES
from trainables.geo_contrastive.knobs import ObjectiveKnobs, PairKnobs

Projections = Float[Tensor, "sample role dim"]
Term = Callable[[ObjectiveKnobs, PairKnobs, Projections, Mapping[str, Tensor], float], Contrast]


def simclr(
    knobs: ObjectiveKnobs,
    pairs: PairKnobs,
    projections: Projections,
    beside: Mapping[str, Tensor],
    done: float,
) -> Contrast:
    """Returns NT-Xent over the views of each day; see `temporal_nt_xent`."""
    return temporal_nt_xent(
        unit_length(projections),
        beside["role_day"],
        num_positives=NUM_POSITIVES,
        temperature=value_at(knobs.temperature, done),
        decay=pairs.decay,
        weigh_negatives=knobs.weighted_negatives,
        present=beside["present"],
    )


def barlow_twins(
    knobs: ObjectiveKnobs,
    pairs: PairKnobs,
    projections: Projections,
    beside: Mapping[str, Tensor],
    done: float,
) -> Contrast:
    """Returns the mean loss of Barlow Twins of a day with a later one, and with an earlier one."""
    present = beside["present"]
    both = [
        barlow(
            projections[:, 0],
            projections[:, role],
            off_diagonal=knobs.off_diagonal,
            counted=present[:, 0] & present[:, role],
        )
        for role in range(1, NUM_POSITIVES)
    ]
    return Contrast(both[0].total + both[1].total, both[0].count + both[1].count)


def season_supcon(
    knobs: ObjectiveKnobs,
    pairs: PairKnobs,
    projections: Projections,
    beside: Mapping[str, Tensor],
    done: float,
) -> Contrast:
    """Returns SupCon of the seasons; each view has the season of its own day, which may not be the anchor's."""
    return supcon(
        unit_length(projections[:, :NUM_POSITIVES]),
        beside["role_season"][:, :NUM_POSITIVES],
        temperature=value_at(knobs.temperature, done),
        present=beside["present"][:, :NUM_POSITIVES],
    )


TERMS: Mapping[str, Term] = {"simclr": simclr, "barlow": barlow_twins, "supcon": season_supcon}
