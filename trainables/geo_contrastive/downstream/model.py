"""A model of fields with a head on its latents."""

from torch import nn

from trainables.geo_contrastive.downstream.standardization import Standardization
from trainables.geo_contrastive.model.field_model import FieldModel

HEAD = "head"
"""Name of the head among the children of the model."""


class HeadedModel(FieldModel):
    """Encoder, projector and decoder of a representation, and the ``head`` of a downstream task.

    The head comes last: the other parts start from the same random weights as without it. It works on latents that
    ``standardization`` has standardised.
    """

    standardization: Standardization
    head: nn.Module

    def attach(self, head: nn.Module, latent_dim: int) -> None:
        """Puts the head on the latents."""
        self.standardization = Standardization(latent_dim)
        self.head = head
