"""The task of forecasts on frozen latents.

Context and stride are knobs of what a forecast reads and how far it steps at once. What it is measured by is not: all
days of a split issue a forecast, and the decoded fields of 1, 3, 5 and 10 days ahead are compared, whatever the stride.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from thalweg.contract import Batch, Indices, Keys, Measure, Outputs, SplitName
from thalweg.stage_contract import ParameterGroup, StageLoss
from trainables.geo_contrastive.data.fields import FieldData
from trainables.geo_contrastive.data.pairs import index_of
from trainables.geo_contrastive.data.splits import LEADS
from trainables.geo_contrastive.downstream.latents import TrainingLatents
from trainables.geo_contrastive.downstream.model import HEAD, HeadedModel
from trainables.geo_contrastive.downstream.task import DownstreamTask
from trainables.geo_contrastive.forecast import batches
from trainables.geo_contrastive.forecast.baselines import forecasting
from trainables.geo_contrastive.forecast.knobs import ForecastKnobs
from trainables.geo_contrastive.forecast.loss import ForecastError
from trainables.geo_contrastive.forecast.measure import ForecastSkill, beyond
from trainables.geo_contrastive.forecast.networks import TRUST, TRUST_LR, forecaster
from trainables.geo_contrastive.forecast.predict import predict
from trainables.geo_contrastive.forecast.rest import MEMORY, LatentsAndMemory, Memory
from trainables.geo_contrastive.forecast.stepping import SteppingLatents
from trainables.geo_contrastive.forecast.windows import check_windows


class ForecastTask(DownstreamTask):
    """Trains a network that steps latents through time."""

    @property
    def head_knobs(self) -> ForecastKnobs:
        """The knobs of forecasts."""
        assert isinstance(self.config.downstream, ForecastKnobs)
        return self.config.downstream

    def check(self, data: FieldData) -> None:
        """Refuses windows that no run of training days holds, and steps that no stretch left out holds."""
        super().check(data)
        check_windows(data, self.head_knobs)

    def unmeasured(self, data: FieldData, split: SplitName) -> Mapping[str, str]:
        """Adds the leads that no day of a split is followed by."""
        longest = index_of(data, split).reach
        why = f"no day of {split} is followed by more than {longest:,} others without a jump"
        return {**super().unmeasured(data, split), **dict.fromkeys(beyond(longest), why)}

    def make_head(self, model: HeadedModel) -> nn.Module:
        """Returns the network."""
        head = forecaster(self.config.encoder.latent_dim, self.head_knobs)
        if self.head_knobs.rest == "persists":
            head.add_module(MEMORY, Memory(len(self.config.data.variables)))
        return head

    def training_latents(self) -> TrainingLatents:
        """Returns latents, the linear part, and the memory of what they do not hold where the rest persists."""
        kind = LatentsAndMemory if self.head_knobs.rest == "persists" else SteppingLatents
        return kind(self.config.data.variables, self.head_knobs.stride)

    def head_groups(self) -> tuple[ParameterGroup, ...]:
        """Returns the network, and the trust in it, which has a rate of its own and which no decay draws to 0."""
        scale = TRUST_LR / self.config.optimization.lr
        trust = ParameterGroup(prefix=f"{HEAD}.{TRUST}.", lr_scale=scale, decay=False)
        return (*super().head_groups(), trust)

    def head_loss(self, latents: TrainingLatents) -> StageLoss:
        """Returns the squared error of the steps."""
        assert isinstance(latents, SteppingLatents)
        return ForecastError(self.head_knobs, latents)

    def head_batch(self, data: FieldData, indices: Indices, keys: Keys) -> Batch:
        """Samples windows of days."""
        return batches.training_batch(data, self.head_knobs, indices, keys)

    def evaluation_batch(self, data: FieldData, split: SplitName, indices: Indices) -> Batch:
        """Adds context and days to come."""
        days = super().evaluation_batch(data, split, indices)
        return days | batches.evaluation_batch(data, self.head_knobs, split, indices)

    def head_outputs(self, model: HeadedModel, batch: Batch) -> Outputs:
        """Forecasts the fields of the leads."""
        return predict(model, batch, self.head_knobs)

    def head_measures(self) -> tuple[Measure, ...]:
        """Returns the skill of forecasts."""
        return (ForecastSkill(self.config.data.variables),)

    def baselines(self, data: FieldData) -> Mapping[str, nn.Module]:
        """Lets the baselines of reconstructions forecast too."""
        return forecasting(super().baselines(data), data)

    def draw(self, model: nn.Module, data: FieldData, folder: Path) -> None:
        """Draws the roll-out of a forecast beside what came, and errors over lead time."""
        super().draw(model, data, folder)
        # matplotlib, which training does not need
        from trainables.geo_contrastive.forecast.rollouts import draw_rollout
        from trainables.geo_contrastive.forecast.skill_picture import draw_skill

        def forecast(indices: Indices) -> Batch:
            assert isinstance(model, HeadedModel)
            batch = self.evaluation_batch(data, "val", indices)
            return batch | predict(model, batch, self.head_knobs)

        draw_rollout(data, forecast, folder)
        draw_skill(data, forecast, folder)

    def protocol(self) -> Mapping[str, Any]:
        """Adds the leads."""
        ahead = {"leads": list(LEADS), "between_steps": "linear in the latent"}
        return {**super().protocol(), "forecast": ahead}
