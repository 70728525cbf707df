"""Alpha, the share of the contrastive loss while encoder and decoder train together."""

from trainables.geo_contrastive.knobs import AlphaKnobs


def alpha(knobs: AlphaKnobs, done: float) -> float:
    """Returns ``max(floor + (start - floor) * 2 ** (-done / half_point), cap)``.

    Args:
        knobs: Start, half-point, floor and cap.
        done: Share of the stage that is done, in [0, 1].
    """
    left: float = 2.0 ** (-done / knobs.half_point)
    return max(knobs.floor + (knobs.start - knobs.floor) * left, knobs.cap)
