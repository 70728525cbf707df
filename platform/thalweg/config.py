"""The configuration that every family shares: light to import, JSON in and out.

A family subclasses `FamilyConfig` and nests its own knobs by concern. Every field has bounds, a unit
where there is one, and a sentence (an attribute docstring below the field).
"""

import difflib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from thalweg.errors import ConfigError, DiscoveryError, KnobError, nothing

Precision = Literal["fp32", "bf16", "fp16"]


class Knobs(BaseModel):
    """A frozen group of knobs; unknown names are refused, docstrings become descriptions."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **settings: Any) -> None:
        """Lets ``help`` tell each knob: Python keeps no docstrings of attributes."""
        told = [
            f"    {name}: {' '.join(field.description.split())}"
            for name, field in cls.model_fields.items()
            if field.description
        ]
        if cls.__doc__ and told:
            cls.__doc__ = "\n".join([cls.__doc__.rstrip(), "", "Attributes:", *told])

    added: ClassVar[frozenset[str]] = frozenset()
    """Knobs that older studies do not know; `identity` leaves them out at their defaults."""
    recorded: ClassVar[Mapping[str, Any]] = {}
    """What older studies recorded, as JSON, for knobs whose default was spelled otherwise; `identity` writes that."""

    changeable: ClassVar[frozenset[str]] = frozenset()
    """Knobs with which a training may go on from a checkpoint although their values have changed since.

    They shape neither the model nor the data nor the batch: weights of losses, not widths of layers. A group stands for
    all of its knobs. Schedules need not be named: see `thalweg.knobs.changeable`.
    """

    def idle(self) -> tuple[str, ...]:
        """Returns the names of knobs without effect in this configuration, such as those of a stage that it lacks.

        A group inside this one is named as a whole, a knob of such a group as ``GROUP.KNOB``. Records leave idle knobs
        out of a trial's parameters, because nobody chose them.
        """
        return ()

    def vary(self, **changes: Any) -> Self:
        """Returns these knobs with some of them changed, validated at once.

        A group is replaced by another one (``model=ModelKnobs(dim=64)``), or changed by a mapping of some of its knobs
        (``model={"dim": 64}``), however deep. If a group is one of several kinds, a mapping that names another kind
        starts from the defaults of that kind.

        Raises:
            ConfigError: A knob is unknown or out of its bounds, or a law between knobs is broken.
        """
        if unknown := _unknown_changes("", self, changes):
            raise KnobError(_no_such_knobs(unknown))
        try:
            return type(self).model_validate(_varied(self, changes))
        except ValidationError as error:
            raise refusal(error) from None


class Optimization(Knobs):
    """The optimizer, its schedule, and how a global batch is spread over workers."""

    added: ClassVar[frozenset[str]] = frozenset({"optimizer", "momentum"})
    changeable: ClassVar[frozenset[str]] = frozenset(
        {"lr", "weight_decay", "momentum", "beta1", "beta2", "eps", "clip_norm", "min_lr_ratio"}
    )

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101), or stochastic gradient descent with momentum as torch has it."""
    lr: float = Field(1e-4, gt=0, le=1)
    """Peak learning rate."""
    weight_decay: float = Field(0.05, ge=0, le=1)
    """Weight decay: decoupled for adamw; for sgd an L2 penalty, which is added to the gradient, so that momentum
    multiplies it (1e-4 is usual)."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of sgd: the share of the last step's direction that is kept; 0 is plain descent."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay of AdamW's first-moment average."""
    beta2: float = Field(0.95, ge=0, lt=1)
    """Decay of AdamW's second-moment average."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator of AdamW."""
    clip_norm: float = Field(1.0, ge=0)
    """Largest global gradient norm, to which larger gradients are clipped; 0 switches clipping off."""
    lr_schedule: Literal["cosine", "constant", "onecycle"] = "cosine"
    """Learning-rate schedule: a cosine or a constant after a linear warm-up, or one cycle of two cosines."""
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    """Share of a stage's sample budget during which the learning rate rises: linearly from 0, or from a 25th of the
    peak as a half cosine (onecycle, which is usually given 0.3)."""
    min_lr_ratio: float = Field(0.0, ge=0, le=1)
    """Learning rate at the end of the schedule, as a share of the peak; without effect if it is constant."""
    batch_size: int = Field(16, ge=1, json_schema_extra={"unit": "samples"})
    """Global batch size: samples per optimizer step over all workers."""
    micro_batch_size: int | None = Field(None, ge=1, json_schema_extra={"unit": "samples"})
    """Largest number of samples per worker and forward pass; None takes the worker's whole share of the batch.

    Gradient accumulation is derived from it, so it changes the result only by rounding, unless the model has dropout,
    which is random in each pass, or batch norms, which normalise by the micro-batch of the worker in training. Their
    running statistics are pooled over the workers before each evaluation.
    """
    precision: Precision = "fp32"
    """Number format of the forward and backward pass; losses are computed in fp32."""
    zero_stage: Literal[0, 1, 2, 3] = 1
    """DeepSpeed ZeRO stage (arXiv:1910.02054): what is sharded over the workers."""

    def idle(self) -> tuple[str, ...]:
        """Returns the knobs of the other optimizer, and `min_lr_ratio` for a constant learning rate."""
        others = ("momentum",) if self.optimizer == "adamw" else ("beta1", "beta2", "eps")
        return others + (("min_lr_ratio",) if self.lr_schedule == "constant" else ())

    @model_validator(mode="after")
    def _no_knob_is_idle(self) -> Self:
        fields = type(self).model_fields
        for name in self.idle():
            default, value = fields[name].default, getattr(self, name)
            if name != "min_lr_ratio" and value != default:
                raise ValueError(
                    f"{name} must be left at {default:g} with the optimizer {self.optimizer!r}, for it would change "
                    f"nothing, got {value:g}; leave it out, or take the other optimizer"
                )
        if "min_lr_ratio" in self.idle() and self.min_lr_ratio:
            raise ValueError(
                "min_lr_ratio must be 0 unless lr_schedule falls, for it would change nothing, got "
                f"{self.min_lr_ratio:g} with 'constant'; leave it out, or take cosine or onecycle"
            )
        return self


class FamilyConfig(Knobs):
    """One complete configuration of a family: what one trial trains."""

    dataset: str = Field(min_length=1)
    """Data set to train on: a folder below the family's data folder."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Seed of initial weights, sample order, training masks and dropout."""
    optimization: Optimization = Optimization()
    """Optimizer, schedule and batch."""
    starts_from: tuple[str, ...] = ()
    """Starting points: studies whose best trials give initial weights. If several have a part, the last gives it."""


C = TypeVar("C", bound=FamilyConfig)


class Presets(dict[str, C]):
    """The named configurations of a family; the error for an unknown name suggests the closest one."""

    def __missing__(self, name: object) -> C:
        """Refuses a name that no preset has.

        Raises:
            DiscoveryError: Always.
        """
        raise DiscoveryError(nothing(f"preset {name!r}", "PRESETS", name, self))


def flat(config: BaseModel, *, keep_empty: bool = False) -> dict[str, Any]:
    """Returns the resolved configuration as ``{"optimization.lr": 1e-4, ...}``; see `nested_leaves`."""
    return nested_leaves(config.model_dump(mode="json"), keep_empty=keep_empty)


def active(config: BaseModel, *, keep_empty: bool = False) -> dict[str, Any]:
    """Returns `flat` without idle knobs; see `Knobs.idle`."""
    idle = idle_knobs(config)
    return {
        name: value
        for name, value in flat(config, keep_empty=keep_empty).items()
        if not any(name == knob or name.startswith(f"{knob}.") for knob in idle)
    }


def idle_knobs(config: BaseModel) -> tuple[str, ...]:
    """Returns the dotted names of all idle knobs and groups of knobs; see `Knobs.idle`."""
    own = config.idle() if isinstance(config, Knobs) else ()
    groups = {name: value for name, value in vars(config).items() if isinstance(value, BaseModel)}
    return own + tuple(f"{name}.{knob}" for name, group in groups.items() for knob in idle_knobs(group))


def nested_leaves(values: Mapping[str, Any], *, keep_empty: bool = False) -> dict[str, Any]:
    """Flattens a configuration in JSON, such as that of a recorded trial, to dotted names.

    Args:
        values: The configuration.
        keep_empty: Whether None, empty lists and empty groups are kept too.
    """
    return {
        ".".join(names): value
        for names, value in leaves(values)
        if keep_empty or not (value is None or value in ([], {}))
    }


def leaves(values: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yields the values of a configuration in JSON with the names that lead to them, None and empty ones included.

    Unlike dotted names, these lead back: a name of a schedule holds dots itself.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, (*above, name))
        else:
            yield (*above, name), value


def parse(config_type: type[C], values: dict[str, Any]) -> C:
    """Builds a configuration from plain values, such as the JSON of a recorded trial.

    Raises:
        ConfigError: A knob is unknown or out of its bounds; the message names each of them.
    """
    try:
        return config_type.model_validate(values)
    except ValidationError as error:
        raise refusal(error) from None


def alike(config_type: type[C], one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether two recorded configurations train alike; knobs that an older record lacks have their defaults."""
    if one == other:
        return True
    try:
        return parse(config_type, dict(one)) == parse(config_type, dict(other))
    except ConfigError:  # of a version that knew other knobs
        return False


def identity(config: Knobs) -> dict[str, Any]:
    """Returns a configuration as JSON that identifies a training; `Knobs.added` at their defaults do not change it."""
    values = config.model_dump(mode="json")
    for name in type(config).added:
        if getattr(config, name) == type(config).model_fields[name].default:
            del values[name]
    for name, earlier in type(config).recorded.items():
        if getattr(config, name) == type(config).model_fields[name].default:
            values[name] = earlier
    groups = {
        name: value for name, value in vars(config).items() if isinstance(value, Knobs) and name in values
    }
    return values | {name: identity(group) for name, group in groups.items()}


def check(config: C) -> C:
    """Validates a configuration and returns it; ``model_copy(update=...)`` accepts any name and any value.

    Raises:
        ConfigError: A knob is unknown or out of its bounds.
    """
    if unknown := _unknown("", config):
        raise KnobError(_no_such_knobs(unknown))
    return parse(type(config), config.model_dump(warnings=False))


def _unknown(prefix: str, value: Any) -> dict[str, str | None]:
    """Returns the dotted names of what a group holds that is no knob, each with the knob that is named most alike."""
    if not isinstance(value, BaseModel):
        return {}
    found = _strange(prefix, vars(value), type(value))
    for name, item in vars(value).items():
        found |= _unknown(f"{prefix}{name}.", item)
    return found


def _unknown_changes(prefix: str, knobs: BaseModel, changes: Mapping[Any, Any]) -> dict[str, str | None]:
    """Returns the same of changes; a group that is replaced is left to the validation.

    Raises:
        KnobError: A name is no text.
    """
    for name in changes:
        if not isinstance(name, str):
            where = prefix.removesuffix(".")
            raise KnobError(
                f"the names of knobs must be text, got {name!r} in {where}; "
                f"write {where}={{'NAME': {changes[name]!r}}}"
            )
    found = _strange(prefix, changes, type(knobs))
    for name, change in changes.items():
        if (group := _merged(knobs, name, change)) is not None:
            found |= _unknown_changes(f"{prefix}{name}.", group, change)
    return found


def _strange(prefix: str, names: Iterable[str], kind: type[BaseModel]) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    if kind.model_config.get("extra") == "allow":  # a group of any names, such as weights of modalities
        return found
    for name in names:
        if name not in kind.model_fields:
            close = difflib.get_close_matches(name, kind.model_fields, n=1)
            found[f"{prefix}{name}"] = f"{prefix}{close[0]}" if close else None
    return found


def _no_such_knobs(unknown: Mapping[str, str | None]) -> str:
    alike = ", ".join(name for _, name in sorted(unknown.items()) if name)
    hint = f"did you mean {alike}? " if alike else ""
    return f"knobs must exist, got {', '.join(sorted(unknown))}; {hint}`thalweg describe` lists them all"


def _varied(knobs: BaseModel, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values of a group with changes, in which groups that do not change stay as they are."""
    values = {name: getattr(knobs, name) for name in type(knobs).model_fields} | (knobs.model_extra or {})
    for name, change in changes.items():
        group = _merged(knobs, name, change)
        values[name] = change if group is None else _varied(group, change)
    return values


def _merged(knobs: BaseModel, name: str, change: Any) -> BaseModel | None:
    """Returns the group that a change alters; None if it replaces what is there.

    It does so too if it gives another value for a knob that has one only: that of the group's kind.
    """
    group = getattr(knobs, name, None)
    if not isinstance(change, Mapping) or not isinstance(group, BaseModel):
        return None
    for knob, field in type(group).model_fields.items():
        kinds = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(kinds) == 1 and change.get(knob, kinds[0]) != kinds[0]:
            return None
    return group


def refusal(error: ValidationError) -> ConfigError:
    """Returns the error that pydantic's report amounts to: a `KnobError` unless it only tells of laws between knobs."""
    alone = any(item["type"] not in ("value_error", "assertion_error") for item in error.errors())
    return (KnobError if alone else ConfigError)(explain(error))


def explain(error: ValidationError) -> str:
    """Returns pydantic's report as one line: knob, law and value of each violation, separated by semicolons.

    The value is left out for a law between several knobs, whose message names the values itself.
    """
    lines = []
    for item in error.errors(include_url=False):
        law = item["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in item["loc"] if part != "") or error.title
        value = _got(item["input"], item["type"])
        hint = _meant(error.title, item["loc"]) if item["type"] == "extra_forbidden" else ""
        lines.append(f"{where}: {law[:1].lower()}{law[1:]}{value}{hint}")
    return "; ".join(lines)


def _got(value: Any, error_type: str) -> str:
    """Says what was given; of a group only if its type or a bound is what was wrong."""
    bounded = error_type.startswith(("greater_than", "less_than"))
    if isinstance(value, dict | BaseModel) and not (bounded or error_type.endswith("_type")):
        return ""
    if isinstance(value, BaseModel):
        return f", got {value!r}" if bounded else f", got {type(value).__name__}"
    return f", got {reprlib.repr(value) if isinstance(value, dict) else repr(value)}"


def _meant(title: str, where: tuple[int | str, ...]) -> str:
    """Returns a hint at the knob that is named most like an unknown one; empty if none is.

    Args:
        title: Name of the class that refused it; pydantic keeps no more of it.
        where: Names of the groups that lead to the unknown one, and its own.
    """
    *groups, last = where
    kinds = [kind for kind in _kinds(Knobs) if kind.__name__ == title]
    for group in map(str, groups):
        fields = [kind.model_fields[group] for kind in kinds if group in kind.model_fields]
        found = [field.annotation for field in fields]
        kinds = [kind for kind in found if isinstance(kind, type) and issubclass(kind, Knobs)]
    known = {name for kind in kinds for name in kind.model_fields}
    close = difflib.get_close_matches(str(last), sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _kinds(kind: type[Knobs]) -> list[type[Knobs]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]


def plain_scalar(value: Any) -> Any:
    """Converts a 0-d array or scalar of numpy or torch to a Python number; returns anything else as it is."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def plain(value: Any) -> Any:
    """Converts numpy and torch scalars in tuples, lists and dicts to Python numbers, however deep."""
    if type(value) in (tuple, list):
        return type(value)(plain(item) for item in value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return plain_scalar(value)
