"""What models take and give."""

from jaxtyping import Float
from torch import Tensor

Batch = dict[str, Tensor]
Predictions = dict[str, Float[Tensor, "batch step masked value"]]
