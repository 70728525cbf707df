"""A model of fields with a head on its latents."""

from torch import nn

from trainables.geo_contrastive.model.field_model import FieldModel

HEAD = "head"
"""Name of the head among the children of the model."""


class HeadedModel(FieldModel):
    """Encoder, projector and decoder of a representation, and the ``head`` of a downstream task.

    The head comes last: the other parts start from the same random weights as without it.
    """

    head: nn.Module
