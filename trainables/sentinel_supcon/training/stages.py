"""The stages of training: pre-training of encoders, then tuning of all, or of what follows frozen encoders."""

from thalweg.stage_contract import ParameterGroup, Stage, StageLoss
from trainables.sentinel_supcon.config import SentinelSupCon
from trainables.sentinel_supcon.model import encoders
from trainables.sentinel_supcon.model.scene_model import FUSION, PROTOTYPES, head_names
from trainables.sentinel_supcon.training.losses import CrossEntropy, Pretraining, SupConCrossEntropy

PRETRAINING, TUNING = "pretraining", "tuning"
_WITHOUT_WEIGHTS = ("concat", "mean")  # fusions


def stages(config: SentinelSupCon) -> tuple[Stage, ...]:
    """Returns the stages of a configuration; their shares add up to 1."""
    share = config.pretraining.share
    return (_pretraining(config, share), _tuning(config, 1 - share)) if share else (_tuning(config, 1.0),)


def _pretraining(config: SentinelSupCon, share: float) -> Stage:
    names = encoders.names(config.model)
    if config.model.backbone == "prototypes":
        names = (*names, PROTOTYPES)
    groups = tuple(ParameterGroup(prefix=f"{name}.") for name in names)
    # What heads say means nothing before they train.
    return Stage(name=PRETRAINING, share=share, groups=groups, loss=Pretraining(config), teaches=())


def _tuning(config: SentinelSupCon, share: float) -> Stage:
    loss: StageLoss = SupConCrossEntropy(config) if config.tuning.sup_delta else CrossEntropy(config)
    names = tuple(head_names(config).values())
    if config.model.is_fused and config.model.fusion not in _WITHOUT_WEIGHTS:
        names = (*names, FUSION)
    scale = config.tuning.head_lr_scale
    groups = tuple(ParameterGroup(prefix=f"{name}.", lr_scale=scale) for name in names)
    frozen = encoders.names(config.model)
    if config.tuning.mode == "full":
        groups = (*(ParameterGroup(prefix=f"{name}.") for name in frozen), *groups)
        frozen = ()
    return Stage(name=TUNING, share=share, groups=groups, frozen=frozen, loss=loss)
