"""The stages of training and their shares of the budget.

A contrastive encoder gets a decoder in one of three ways: both train together under alpha, the decoder trains on the
frozen encoder, or the one follows the other. An autoencoder has a single stage.
"""

from thalweg.stage_contract import ParameterGroup, Stage
from trainables.geo_contrastive.config import GeoContrastive
from trainables.geo_contrastive.knobs import StageKnobs
from trainables.geo_contrastive.representation.losses import (
    Contrastive,
    ContrastiveReconstruction,
    Reconstruction,
    penalty_weights,
)

CONTRASTIVE, JOINT, DECODER, AUTOENCODER = "contrastive", "joint", "decoder", "autoencoder"
_ENCODER = ("encoder", "projector")
_DECODER, _ADVERSARY = "decoder.", "adversary."


def names(config: GeoContrastive) -> tuple[str, ...]:
    """Returns the names of the stages in order."""
    if not config.objective.is_contrastive:
        return (AUTOENCODER,)
    follow = {"joint": (JOINT,), "frozen": (DECODER,), "joint_then_frozen": (JOINT, DECODER)}
    return (CONTRASTIVE, *follow[config.stages.decoder_mode])


def stages(config: GeoContrastive) -> tuple[Stage, ...]:
    """Returns the stages of a configuration; their shares add up to 1."""
    if not config.objective.is_contrastive:
        loss = Reconstruction(penalty_weights(config), config.decoder.adversary_weight)
        return (Stage(name=AUTOENCODER, loss=loss),)
    knobs, found = config.stages, names(config)
    shares = {name: float(getattr(knobs, f"{name}_share")) for name in found}
    whole = sum(shares.values())
    return tuple(_stage(config, knobs, name, shares[name] / whole) for name in found)


def _stage(config: GeoContrastive, knobs: StageKnobs, name: str, share: float) -> Stage:
    if name == CONTRASTIVE:
        groups = tuple(ParameterGroup(prefix=f"{part}.") for part in _ENCODER)
        # What the decoder shows says nothing before it trains, and no metric of latents may be an objective.
        return Stage(name=name, share=share, groups=groups, loss=Contrastive(config), teaches=())
    if name == JOINT:
        every = (ParameterGroup(lr_scale=knobs.joint_lr_scale),)
        return Stage(name=name, share=share, groups=every, loss=ContrastiveReconstruction(config))
    adversary_weight = config.decoder.adversary_weight
    trained = (_DECODER, _ADVERSARY) if adversary_weight else (_DECODER,)
    groups = tuple(ParameterGroup(prefix=prefix, lr_scale=knobs.decoder_lr_scale) for prefix in trained)
    # No penalty: it would fall on latents that no longer change.
    loss = Reconstruction({}, adversary_weight)
    return Stage(name=name, share=share, groups=groups, frozen=_ENCODER, loss=loss)
