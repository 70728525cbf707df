"""The exported part of a chain: an image classifier that needs no scan."""

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.contrastive.unit_length import unit_length


class ImageClassifier(nn.Module):
    """Classifies images as cubes or spheres.

    Args:
        rgb: Embedder of images.
        projector: Maps an embedding of an image to a layer of the scan classifier.
        head: The layers of the scan classifier after that layer.
    """

    def __init__(self, rgb: nn.Module, projector: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.rgb = rgb
        self.projector = projector
        self.head = head

    def forward(self, rgb: Float[Tensor, "batch channel side side"]) -> Float[Tensor, "batch logit"]:
        """Computes the logits.

        Args:
            rgb: Images within 0 and 1, with as many channels as the chain was trained with.

        Returns:
            Two logits for each image, of cube and sphere, or one, the log-odds of a sphere; in fp32.
        """
        dtype = next(self.parameters()).dtype
        embedding = unit_length(self.rgb(rgb.to(dtype)))
        logits: Tensor = self.head(self.projector(embedding.to(dtype)))
        return logits.float()
