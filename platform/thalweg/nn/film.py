"""Feature-wise linear modulation: a condition scales and shifts every feature of a token."""

from collections.abc import Callable
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

FilmMode = Literal["tanh", "one_plus"]

_SCALES: dict[FilmMode, Callable[[Tensor], Tensor]] = {
    "tanh": lambda raw: raw.tanh(),
    "one_plus": lambda raw: 1 + raw.tanh(),
}


class FiLM(nn.Module):
    """Projects a condition to scale and shift, as in arXiv:1709.07871.

    Args:
        condition_dim: Width of the condition.
        dim: Width of the tokens.
        mode: ``tanh``: the scale lies in (-1, 1) and can switch features off or invert them;
            ``one_plus``: in (0, 2), near the identity at the start.
    """

    def __init__(self, condition_dim: int, dim: int, mode: FilmMode) -> None:
        super().__init__()
        self.projection = nn.Linear(condition_dim, 2 * dim)
        self.scale = _SCALES[mode]

    def forward(
        self, condition: Float[Tensor, "*batch condition"]
    ) -> tuple[Float[Tensor, "*batch dim"], Float[Tensor, "*batch dim"]]:
        """Returns scale and shift; a token becomes ``scale * token + shift``."""
        scale, shift = self.projection(condition).chunk(2, dim=-1)
        return self.scale(scale), shift.tanh()
