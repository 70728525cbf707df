"""The configuration of contrastive weather fields; the defaults are the reference experiment.

Of the reference batch of 126 fields, three are views of one day: 42 days are a batch.
"""

from pydantic import Field

from thalweg.config import FamilyConfig, Optimization
from trainables.geo_contrastive.knobs import (
    DataKnobs,
    DecoderKnobs,
    EncoderKnobs,
    ObjectiveKnobs,
    PairKnobs,
    StageKnobs,
    ViewKnobs,
)


class GeoContrastive(FamilyConfig):
    """An encoder and decoder of daily weather fields, for one trial."""

    dataset: str = Field(default="era5-850", min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    optimization: Optimization = Optimization(
        lr=1e-4, weight_decay=0.0, beta2=0.999, lr_schedule="constant", warmup_ratio=0.0, batch_size=42
    )
    """Optimizer, schedule and batch; a sample is a day with its views."""
    data: DataKnobs = DataKnobs()
    """Variables."""
    views: ViewKnobs = ViewKnobs()
    """Augmentations."""
    pairs: PairKnobs = PairKnobs()
    """Positives and negatives."""
    encoder: EncoderKnobs = EncoderKnobs()
    """Fields to latent."""
    decoder: DecoderKnobs = DecoderKnobs()
    """Latent to fields."""
    objective: ObjectiveKnobs = ObjectiveKnobs()
    """What pre-training minimises."""
    stages: StageKnobs = StageKnobs()
    """Order and shares of training."""

    def idle(self) -> tuple[str, ...]:
        """Names the pairs and most stages of an autoencoder, and what hides one of several variables."""
        alone = ("views.mode_drop",) if len(self.data.variables) == 1 else ()
        return alone if self.objective.is_contrastive else (*alone, "pairs", "stages")


_TINY = GeoContrastive(
    dataset="tiny",
    optimization=Optimization(lr=2e-3, weight_decay=0.01, batch_size=32),
    encoder=EncoderKnobs(latent_dim=32, width=8, blocks=1, stem="small"),
    objective=ObjectiveKnobs(projection_dim=32),
)

PRESETS: dict[str, GeoContrastive] = {
    "reference": GeoContrastive(),
    "final": GeoContrastive().vary(encoder={"fusion": {"kind": "gcn"}}),
    "small": _TINY.vary(dataset="small", encoder={"latent_dim": 64, "width": 16}),
    "tiny": _TINY,
}
