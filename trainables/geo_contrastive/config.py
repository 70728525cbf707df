"""The configuration of contrastive weather fields; the defaults are the reference experiment.

Of the reference batch of 126 fields, three are views of one day: 42 days are a batch.
"""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from thalweg.config import FamilyConfig, Optimization, Presets
from trainables.geo_contrastive.assimilation.knobs import AssimilationKnobs
from trainables.geo_contrastive.diffusion.knobs import DiffusionKnobs
from trainables.geo_contrastive.downstream.knobs import HeadKnobs, NoDownstream
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.knobs import (
    DataKnobs,
    DecoderKnobs,
    EncoderKnobs,
    EvaluationKnobs,
    ObjectiveKnobs,
    PairKnobs,
    StageKnobs,
    ViewKnobs,
    rrmse_without,
)
from trainables.geo_contrastive.seasons.knobs import SeasonKnobs

Downstream = NoDownstream | ForecastKnobs | AssimilationKnobs | DiffusionKnobs | SeasonKnobs


class GeoContrastive(FamilyConfig):
    """An encoder and decoder of daily weather fields."""

    added: ClassVar[frozenset[str]] = frozenset({"evaluation", "ghost_batch_norm"})

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
    downstream: Annotated[Downstream, Field(discriminator="kind")] = NoDownstream()
    """What the latents are good for: nothing further, or a task that is learnt on the frozen encoder."""

    ghost_batch_norm: bool = False
    """Whether batch norms may take their statistics from micro-batches (ghost batch norm, arXiv:1705.08741) where
    optimization.micro_batch_size is smaller than the batch. Results then depend on the micro-batch: gradients are not
    those of the whole batch, and a view may be told by the company it is in. Other norms know no batch."""
    evaluation: EvaluationKnobs = EvaluationKnobs()
    """Which variables evaluations leave out."""

    def idle(self) -> tuple[str, ...]:
        """Names what no stage reads.

        Those are what an autoencoder leaves out, the pairs of an absent NT-Xent, the drop of the only variable, and all
        of the representation's training where only a head trains.
        """
        if isinstance(self.downstream, HeadKnobs) and self.downstream.share == 1:
            # The kind of objective and the projection tell which parts there are.
            losses = set(ObjectiveKnobs.model_fields) - {"kind", "projection_dim", "projector_norm"}
            unread = ("views", "pairs", "stages", "ghost_batch_norm")
            return (*unread, *(f"objective.{name}" for name in sorted(losses)))
        names: tuple[str, ...] = ("views.mode_drop",) if len(self.data.variables) == 1 else ()
        names += () if self._trains_batch_norms else ("ghost_batch_norm",)
        if not self.objective.is_contrastive:
            return (*names, "pairs", "stages")
        if "simclr" in self.objective.terms:
            return names
        negatives = ("decay", "hard_negatives", "soft_negatives", "soft_gap")
        return (*names, *(f"pairs.{name}" for name in negatives))

    @model_validator(mode="after")
    def _a_head_has_an_encoder(self) -> Self:
        alone = isinstance(self.downstream, HeadKnobs) and self.downstream.share == 1
        if alone and not self.starts_from:
            raise ValueError(
                "a downstream task of share 1 must name a study whose representation it stands on, got no starts_from; "
                "name one, or set downstream.share to 0.25"
            )
        return self

    @property
    def _trains_batch_norms(self) -> bool:
        if isinstance(self.downstream, HeadKnobs) and self.downstream.share == 1:
            return False
        projector = (self.objective.projector_norm,) if self.objective.is_contrastive else ()
        return "batch" in (self.encoder.norm, self.decoder.norm, *projector)

    @model_validator(mode="after")
    def _batch_norms_see_the_batch(self) -> Self:
        knobs = self.optimization
        cut = knobs.micro_batch_size is not None and knobs.micro_batch_size < knobs.batch_size
        if cut and self._trains_batch_norms and not self.ghost_batch_norm:
            raise ValueError(
                f"optimization.micro_batch_size must be the batch_size of {knobs.batch_size} where batch norms train, "
                f"got {knobs.micro_batch_size}: their statistics would be those of micro-batches; leave it out "
                "(workers share statistics), set objective.projector_norm to layer and norms of encoder and decoder to "
                "others than batch, or allow it by ghost_batch_norm"
            )
        return self

    @model_validator(mode="after")
    def _correlations_need_two_days(self) -> Self:
        alone = isinstance(self.downstream, HeadKnobs) and self.downstream.share == 1
        if "barlow" in self.objective.terms and self.optimization.batch_size < 2 and not alone:
            raise ValueError(
                f"optimization.batch_size must be 2 or more with objective.kind {self.objective.kind}, got 1, and one "
                "day correlates with nothing; set it to 32"
            )
        return self

    @model_validator(mode="after")
    def _evaluations_leave_out_some_variables(self) -> Self:
        names = self.data.variables
        for missing in self.evaluation.without:
            if not missing or not set(missing) < set(names):
                raise ValueError(
                    f"evaluation.without must hold sets of some, not all, of the variables {', '.join(names)}, got "
                    f"{list(missing)}; try [[{names[0]!r}]] or evaluation.without_each"
                )
        metrics = [f"rrmse_{name}" for name in names]
        metrics += [rrmse_without(missing) for missing in self.evaluation.missing(names)]
        twice = next((name for name in metrics if metrics.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"variables and sets of evaluation.without must give metrics of different names, got {twice} twice; "
                "rename a variable"
            )
        return self

    @model_validator(mode="after")
    def _negatives_keep_a_weight(self) -> Self:
        weighted = "weighted_negatives" not in self.objective.idle() and self.objective.weighted_negatives
        if weighted and not self.pairs.decay:
            raise ValueError(
                "pairs.decay must be above 0 with objective.weighted_negatives, got 0, at which no negative has a "
                "weight; set it to 0.1"
            )
        return self


# On so few cells a moving mean would leave nothing but the seasons.
_TINY = GeoContrastive(
    dataset="tiny",
    optimization=Optimization(lr=5e-4, weight_decay=0.01, batch_size=32),
    views=ViewKnobs(crop=1.0, smooth=1),
    encoder=EncoderKnobs(latent_dim=128, width=8, blocks=1, stem="small", norm="group8", patterns=128),
    decoder=DecoderKnobs(kind="improved", norm="none", dropout=0.0, linear=True),
    objective=ObjectiveKnobs(projection_dim=32),
)

_TINY_FORECAST = ForecastKnobs(context=3, hidden=64, linear=True, loss="field", rest="persists")

# Real weather, variables on two grids: one encoder each. Without patterns, behind which fusions and objectives hardly
# differ. The network of Great Britain works on every fourth cell, its linear layer on all of them.
IBERIA = _TINY.vary(
    dataset="iberia",
    data={"variables": ("tas", "pr", "psl", "ta850", "hus850")},
    optimization={"lr": 3e-3},
    encoder={
        "latent_dim": 64,
        "patterns": 0,
        "linear": True,
        "fusion": {"kind": "self_attention", "heads": 4},
    },
)
"""Five variables over Iberia in winter, imported as the README says, at a size that two cores carry."""
GB = IBERIA.vary(
    dataset="gb",
    data={"variables": ("slp", "precipitation", "temperature")},
    encoder={"stem": "imagenet"},
    decoder={"kind": "deconvolution"},
)
"""Rain and temperature over Great Britain beside pressure over the North Atlantic, imported as the README says."""

PRESETS: Presets[GeoContrastive] = Presets(
    {
        "reference": GeoContrastive(),
        # Published with 180 epochs of the training split of `era5-850`, 2,525,580 samples, and with Adam's own L2
        # penalty, which is added to the gradient, where AdamW's decay is not.
        "reference_autoencoder": GeoContrastive().vary(
            optimization={"lr": 1e-3, "weight_decay": 1e-6},
            objective={"kind": "autoencoder", "latent_l1": 1e-6},
        ),
        "final": GeoContrastive().vary(
            pairs={"soft_negatives": True},
            encoder={"fusion": {"kind": "gcn"}, "linear": True},
            decoder={"kind": "improved", "norm": "none", "linear": True},
            objective={"weighted_negatives": True, "latent_l2": 1e-6},
        ),
        "small": _TINY.vary(dataset="small", encoder={"width": 16}),
        "tiny": _TINY,
        "tiny_forecast": _TINY.vary(downstream=_TINY_FORECAST),
        "tiny_late": _TINY.vary(
            dataset="tiny-two-grids", encoder={"fusion": {"kind": "self_attention", "heads": 4}}
        ),
        "tiny_assimilation": _TINY.vary(downstream=AssimilationKnobs(hidden_dim=64)),
        "tiny_diffusion": _TINY.vary(downstream=DiffusionKnobs(hidden_dim=256, num_blocks=2)),
        "tiny_seasons": _TINY.vary(downstream=SeasonKnobs(dropout=0.5, linear=True)),
    }
)
