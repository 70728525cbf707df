"""What the encoders make of the views of scenes: every image passes once."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

from thalweg.contract import Batch
from trainables.sentinel_supcon.model.scene_model import SceneModel

Views = Float[Tensor, "batch view embedding"]


def embedded(model: SceneModel, batch: Batch, num_views: int | None = None) -> dict[str, Views]:
    """Returns the embeddings of the first views, or of all, by sensor.

    All views of a sensor pass together, so that batch norms see them as one batch.
    """
    images, count = _as_images(model, batch, num_views)
    return {sensor: _by_view(rows, count) for sensor, rows in model.embed(images).items()}


def embedded_and_transported(
    model: SceneModel, batch: Batch, num_views: int | None = None
) -> tuple[dict[str, Views], Float[Tensor, " batch"]]:
    """Adds what it costs to bring the pixels of each scene to the prototypes, a mean over sensors and views."""
    images, count = _as_images(model, batch, num_views)
    vectors, costs = model.embed_and_transport(images)
    by_view = {sensor: _by_view(rows, count) for sensor, rows in vectors.items()}
    return by_view, costs.view(-1, count).mean(1)


def _as_images(model: SceneModel, batch: Batch, num_views: int | None) -> tuple[Mapping[str, Tensor], int]:
    chosen = {sensor: batch[sensor][:, :num_views] for sensor in model.sensors}
    count = next(iter(chosen.values())).shape[1]
    return {sensor: images.flatten(0, 1) for sensor, images in chosen.items()}, count


def _by_view(rows: Float[Tensor, "row embedding"], count: int) -> Views:
    return rows.view(-1, count, rows.shape[1])
