"""How to reproduce a study: commands, versions, hashes and seeds, as far as they were recorded."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from thalweg.analysis.next_steps import train_command
from thalweg.analysis.studies import space_name
from thalweg.reporting.blocks import Block, Chapter, CommandLines, Facts, Prose
from thalweg.reporting.material import Material
from thalweg.search.overrides import options_of
from thalweg.wording import some

_VERSION = "version/"


def reproduction(material: Material) -> Chapter:
    """Returns the commands that repeat the search and its best trial, and what they were run with."""
    return Chapter(
        "reproduce",
        "How to reproduce",
        [*_commands(material), Facts([*_hashes(material), *_versions(material)])],
    )


def _commands(material: Material) -> Iterator[Block]:
    code = material.tags.get("code_version", "").removesuffix("-dirty")
    if code:
        yield Prose("The code of Thalweg, in a clone of its repository:")
        yield CommandLines(f"git checkout {shlex.quote(code)}")
    yield Prose(
        "The search, with the seed of its sampler; trials that ran side by side may be proposed in another order:"
    )
    yield CommandLines(_search(material))
    best = material.record.best()
    if best is not None:
        yield Prose(f"Trial {best.number}, the best one, trained again:")
        space, overrides = space_name(material.record), material.record.overrides
        yield CommandLines(train_command(space, best.params, overrides=overrides))
        yield Prose(
            "The same from its record alone, compared with it evaluation by evaluation, bit for bit on CPUs:"
        )
        yield CommandLines(f"thalweg reproduce {shlex.quote(material.name)}")
        yield Prose("Its model in a file, and its value on the split test:")
        name = shlex.quote(material.name)
        yield CommandLines(f"thalweg best {name} --export best.pt\nthalweg best {name} --test")
    yield Prose("The best configurations with fresh seeds:")
    yield CommandLines(f"thalweg confirm {shlex.quote(material.name)}")


def _search(material: Material) -> str:
    space = space_name(material.record)
    named = "" if material.name == space else f" --study {shlex.quote(material.name)}"
    options = f" {found}" if (found := options_of(material.record.overrides)) else ""
    return f"thalweg search {shlex.quote(space)}{named}{options} --trials {material.summary.num_trials}"


def _hashes(material: Material) -> Iterator[tuple[str, str]]:
    tags, definition = material.tags, material.record.definition
    seeds = sorted({str(t.config["seed"]) for t in material.record.trials if "seed" in t.config})
    settings = definition["study"]
    found = {
        "data fingerprint": tags.get("data_fingerprint"),
        "evaluation protocol": tags.get("protocol_hash"),
        "code of family and space": tags.get("code_hash"),
        "search space": definition.get("fingerprint"),
    }
    yield from ((name, f"`{value}`") for name, value in found.items() if value)
    if "code_hash" in tags:
        yield (
            "kept code",
            f"`code/{tags['code_hash']}` in the study's folder holds the modules that its trials ran",
        )
    if "seed" in settings:
        yield "seed of the sampler", f"{settings['seed']}"
    if seeds:
        yield "seeds of trials", some(seeds)


def _versions(material: Material) -> Iterator[tuple[str, str]]:
    tags = material.tags
    if "code_version" in tags:
        yield "commit", f"`{tags['code_version']}`"
    known = {"python": tags.get("python")} | {
        name.removeprefix(_VERSION): value for name, value in tags.items() if name.startswith(_VERSION)
    }
    versions = ", ".join(f"{name} {value}" for name, value in known.items() if value)
    yield "versions", versions or "not recorded"
