"""Contrastive pre-training of image and scan, on the tiny synthetic scenes."""

from thalweg.study import Study, Trial
from trainables.rgb_lidar.chain_knobs import ChainKnobs, EmbedderKnobs, SimilarityKnobs
from trainables.rgb_lidar.config import PRESETS, RGBLidar

# The first evaluations are all near chance and say nothing.
study = Study(
    metric="retrieval_r1",
    mode="max",
    samples=13440,
    num_trials=24,
    num_evaluations=8,
    min_samples=5040,
    seed=1,
)

MICRO_BATCH = 64


def space(trial: Trial) -> RGBLidar:
    """Which temperature, batch size and embedder let an image find the scan of its scene?"""
    base = PRESETS["tiny_chain"]
    assert isinstance(base.model, ChainKnobs)
    embedder = base.model.embedder.model_copy(
        update={
            "downsampling": trial.suggest_categorical(
                "downsampling", ["maxpool", "avgpool", "strided_extra", "strided_replace"]
            ),
            "embedding_dim": trial.suggest_categorical("embedding_dim", [16, 32, 64, 128]),
        }
    )
    batch_size = trial.suggest_categorical("batch_size", [16, 32, 64, 128, 256])
    optimization = base.optimization.model_copy(
        update={
            "lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
            "batch_size": batch_size,
            "micro_batch_size": min(batch_size, MICRO_BATCH),  # so that memory does not limit the batch
        }
    )
    model = _only_cilp(base.model, embedder, _similarity(trial))
    return base.model_copy(update={"model": model, "optimization": optimization})


def _only_cilp(chain: ChainKnobs, embedder: EmbedderKnobs, similarity: SimilarityKnobs) -> ChainKnobs:
    return chain.model_copy(update={"stages": ("cilp",), "embedder": embedder, "similarity": similarity})


def _similarity(trial: Trial) -> SimilarityKnobs:
    temperature = trial.suggest_categorical("temperature", ["learnable", "fixed", "none"])
    if temperature == "none":
        logit_map = trial.suggest_categorical("logit_map", ["cosine", "half_cosine"])
        return SimilarityKnobs(temperature="none").model_copy(update={"logit_map": logit_map})
    initial = trial.suggest_float("initial_temperature", 0.01, 0.5, log=True)
    return SimilarityKnobs(initial_temperature=initial).model_copy(update={"temperature": temperature})
