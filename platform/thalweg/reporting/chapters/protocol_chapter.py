"""Data and protocol: what was trained on and judged by, and how."""

from __future__ import annotations

from collections.abc import Iterator

from thalweg.reporting.blocks import Block, Chapter, Facts, ReportTable, Row, words
from thalweg.reporting.material import Material
from thalweg.search.overrides import options_of
from thalweg.wording import counted, some


def protocol_chapter(material: Material) -> Chapter:
    """Returns the data with splits and fingerprint, the objective and other metrics, and how trials ran."""
    return Chapter(
        "protocol",
        "Data and protocol",
        [Facts([*_data(material), *_judged(material), *_search(material)]), *_metrics(material)],
    )


def _data(material: Material) -> Iterator[tuple[str, str]]:
    tags = material.tags
    names = {str(name) for t in material.record.trials if (name := t.config.get("dataset"))}
    yield "data set", some(sorted(names)) or tags.get("data_set", "not recorded")
    sizes = [
        f"{int(size):,} to {use}"
        for name, use in (
            ("num_train_samples", "train on"),
            ("num_val_samples", "validate on, by which trials are ranked"),
        )
        if (size := tags.get(name))
    ]
    if sizes:
        yield "samples", "; ".join(sizes)
    times = counted(len(material.readings), "time")
    sealed = "sealed: no trial was trained on it or ranked by it"
    yield "split test", f"{sealed}; read {times}, see What was found" if material.readings else sealed
    yield "data fingerprint", _coded(tags.get("data_fingerprint"))


def _judged(material: Material) -> Iterator[tuple[str, str]]:
    metric = material.declared.get(material.objective)
    better = "larger" if material.record.mode == "max" else "smaller"
    if metric is None:
        yield "objective", f"{material.objective}, {better} is better"
    else:
        unit = "dimensionless" if metric.unit == "1" else metric.unit
        yield "objective", f"{metric.name}, {unit}, {better} is better: {metric.meaning}"
    if material.record.also:
        further = (f"{name} ({mode})" for name, mode in material.record.also.items())
        yield "further objectives", f"{', '.join(further)}; the objective alone decides on ranks"
    if material.record.constraints:
        yield "constraints", f"{material.record.constraints}"
    hashes = sorted({trial.protocol for trial in material.record.trials if trial.protocol})
    found = some(map(_coded, hashes)) or _coded(material.tags.get("protocol_hash"))
    yield "evaluation protocol", f"{found}; the same for all trials, so that their values can be compared"


def _search(material: Material) -> Iterator[tuple[str, str]]:
    definition = material.record.definition
    samples = int(definition["samples"])
    yield "budget of a trial", f"{counted(samples, 'sample')} seen"
    if (study := material.study) is not None:
        at = ", ".join(f"{point:,}" for point in study.evaluations)
        yield "evaluated after", f"{at} samples"
        rungs = ", ".join(f"{rung:,}" for rung in study.rungs)
        yield "early stopping", f"{study.scheduler}, rungs at {rungs} samples" if rungs else "none"
        yield "proposed by", f"{study.sampler}, its seed {study.seed}"
    seeds = sorted({str(t.config["seed"]) for t in material.record.trials if "seed" in t.config})
    if seeds:
        yield "seeds of trials", some(seeds)
    if material.record.overrides:
        yield "replaced by options", f"`{options_of(material.record.overrides)}`"


def _metrics(material: Material) -> Iterator[Block]:
    shown = [material.objective, *material.board.other_metrics()]
    rows = [
        Row(
            words(
                [
                    metric.name,
                    metric.meaning,
                    f"{'larger' if metric.mode == 'max' else 'smaller'} is better",
                    "-" if metric.unit == "1" else metric.unit,
                ]
            )
        )
        for name in shown
        if (metric := material.declared.get(name)) is not None
    ]
    yield ReportTable(
        heads=["metric", "meaning", "direction", "unit"],
        rows=rows,
        caption="The metrics of the tables below; each means the same in every trial. A dash: dimensionless.",
        num_words=4,
    )


def _coded(text: str | None) -> str:
    return f"`{text}`" if text else "not recorded"
