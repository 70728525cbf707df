"""The task of forecasts on frozen latents."""

from trainables.geo_contrastive.downstream.task import DownstreamTask


class ForecastTask(DownstreamTask):
    """Trains a network that steps latents through time."""
