"""The classifier of a season from a latent."""

from jaxtyping import Float
from torch import Tensor, nn

from thalweg.nn.dropout import Dropout
from trainables.geo_contrastive.data.calendars import SEASONS
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs
from trainables.geo_contrastive.seasons.season_regression import SeasonRegression

MIN_DIM = 8


class SeasonClassifier(nn.Module):
    """Two hidden layers with ReLU and dropout; 1000 numbers become 250, 62 and a logit for each season, as published.

    With a linear part it begins at that.

    Args:
        knobs: Dropout.
        latent_dim: Width of the latent.
    """

    def __init__(self, knobs: SeasonKnobs, latent_dim: int) -> None:
        super().__init__()
        widths = hidden_widths(latent_dim)
        self.layers = nn.Sequential(
            nn.Linear(latent_dim, widths[0]),
            nn.ReLU(),
            Dropout(knobs.dropout),
            nn.Linear(widths[0], widths[1]),
            nn.ReLU(),
            Dropout(knobs.dropout),
            nn.Linear(widths[1], len(SEASONS)),
        )
        self.regression = SeasonRegression(latent_dim) if knobs.linear else None
        if knobs.linear:
            for weight in self.layers[-1].parameters():
                nn.init.zeros_(weight)

    def forward(self, latents: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch season"]:
        """Returns the logits of the seasons, in fp32, from standardised latents."""
        logits: Tensor = self.layers(latents.to(next(self.parameters()).dtype)).float()
        return logits if self.regression is None else logits + self.regression(latents)


def hidden_widths(latent_dim: int) -> tuple[int, int]:
    """Returns the widths of the hidden layers: a quarter and a sixteenth of the latent, at least 8."""
    return max(MIN_DIM, latent_dim // 4), max(MIN_DIM, latent_dim // 16)
