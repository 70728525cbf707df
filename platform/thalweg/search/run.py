"""Runs a study: lanes execute, the ledger records, listeners receive events."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any

from thalweg import discovery
from thalweg.config import FamilyConfig
from thalweg.errors import OutputError, StudyError
from thalweg.events import (
    CONFIRMS,
    SCHEDULE,
    Listener,
    Notice,
    StudyEnded,
    StudyExtended,
    StudyStarted,
)
from thalweg.files import discard, writing
from thalweg.lanes.causes_of_death import in_words
from thalweg.lanes.cluster import connect
from thalweg.lanes.interruption import Ended, ending_raises, signal_of
from thalweg.lanes.resources import Gang, book
from thalweg.lanes.shipment import top_packages
from thalweg.search.controller import StudyController
from thalweg.search.overrides import options_of
from thalweg.search.preflight import Prepared, costs_of
from thalweg.search.provenance import provenance, settings_told
from thalweg.search.publishing.broadcast import Broadcast
from thalweg.search.starting.run_options import Options, make_writable
from thalweg.search.stopping import limits
from thalweg.search.store.early_stopping import judged_from
from thalweg.search.store.learning import earlier_studies
from thalweg.search.store.learning.earlier_studies import taught
from thalweg.search.store.learning.rung_trust import rung_correlations, switch_costs
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.optuna_study import extend as extend_study
from thalweg.search.store.population.lineage import chain, schedule
from thalweg.search.store.proposals import Proposal
from thalweg.search.store.records import StudyRecord, TrialRecord
from thalweg.search.store.warm_start import StartingPoints, tags
from thalweg.stage_contract import Stage
from thalweg.study_folder import StudyFolder, checkpoints_of
from thalweg.training import baselines
from thalweg.training.checkpoints.places import lies_in

Extend = Callable[[StudyRecord], Sequence[Mapping[str, Any]]]
"""Returns the parameter sets that a study is to try next, from its trials so far; none if it has enough."""


def search(
    prepared: Prepared,
    options: Options,
    listeners: Sequence[Listener],
    extend: Extend | None = None,
    connection: ExitStack | None = None,
) -> StudyRecord:
    """Runs a study until all its trials have ended, or until Ctrl-C, and returns its record.

    A study that exists under this name is continued. The first Ctrl-C lets every running trial reach its next
    evaluation. The second one stops at once, and so does SIGTERM. Listeners are closed at the end; Ctrl-C then ends
    the wait for one of them and nothing else.

    Args:
        prepared: The study.
        options: Where and how it runs.
        listeners: Receivers of its events.
        extend: Called whenever all trials have ended, on lanes that are still warm; None adds no trials.
        connection: A connection that was made early; it is closed as soon as no lane runs.

    Raises:
        ThalwegError: The study cannot start or cannot go on; the trials so far stay recorded.
    """
    with ending_raises():
        try:
            return _search(prepared, options, listeners, extend, connection or ExitStack())
        finally:
            _close(listeners)


def _close(listeners: Sequence[Listener]) -> None:
    """Closes every listener, also if closing one fails: a view that stays open leaves a broken terminal.

    Raises:
        Ended: A signal other than that of Ctrl-C asked the process to end.
    """
    with ExitStack() as closing:
        for listener in reversed(listeners):
            closing.callback(_close_patiently, listener)


def _close_patiently(listener: Listener) -> None:
    try:
        listener.close()
    except KeyboardInterrupt as error:
        if isinstance(error, Ended):  # Ctrl-C ends the wait alone
            raise


def _search(
    prepared: Prepared,
    options: Options,
    listeners: Sequence[Listener],
    extend: Extend | None,
    connection: ExitStack,
) -> StudyRecord:
    make_writable(options.directory)
    protocol = prepared.tags["protocol_hash"]
    ledger = Ledger.open(
        options.directory,
        options.name,
        taught(prepared.space, options.directory, options.name, protocol, options.storage),
        storage=options.storage,
        take_over=options.take_over,
    )
    prepared = replace(prepared, space=ledger.space)  # with the search that the study began with
    if ledger.is_new:
        baselines.forget(StudyFolder(options.directory).checkpoints)  # of an earlier study with this name
        discard(StudyFolder(options.directory).units)
    broadcast = Broadcast(ledger, listeners, options.directory)
    ledger.tell_waits(lambda text: broadcast(Notice(text=text)))
    began = time.monotonic()
    ended = StudyEnded(end="failed", reason="the search stopped unexpectedly")
    try:
        ledger.protocol.check(protocol)
        ledger.protocol.describe(prepared.protocol)
        if ledger.num_open():
            ledger.notes += tuple(map(earlier_studies.sentence, ledger.space.study.lessons))
            ledger.notes += tuple(ledger.code.check(prepared.code.hashes, accept=options.accept_code_change))
            with writing("the study's folder", options.directory, "choose another with --output"):
                prepared.code.keep(StudyFolder(options.directory).code(prepared.code.hash))
        ledger.declare(prepared.metrics)
        ledger.judge_by(lambda config: _stages(prepared.family, config), costs_of(prepared))
        over = _limit(ledger) if ledger.num_open() else "all trials had ended before"
        if not over:
            ended = _run(prepared, options, ledger, broadcast, extend, connection)
        else:
            broadcast(_started(prepared, options, ledger, num_lanes=0))
            broadcast.tell(ledger.notes)
            ended = StudyEnded(end="finished", reason=over)
    except KeyboardInterrupt as error:
        number = signal_of(error)
        how = "stopped at once" if number == signal.SIGINT else f"stopped by {number.name}"
        ended = StudyEnded(end="interrupted", reason=how, signal=number)
    except BaseException as error:
        ended = StudyEnded(end="failed", reason=str(error))
        raise
    finally:
        try:
            with suppress(OutputError, StudyError):  # what ended the search; the next one puts them back
                ledger.interrupt_all("interrupted: the search was stopped", ended.trials_ended_as)
            with suppress(OutputError, StudyError):
                ledger.record_end(ended)
                ended = _with_rungs(ended, ledger.trials())
            broadcast(replace(ended, seconds=time.monotonic() - began))
            record = ledger.read()
        finally:
            ledger.close()
    return record


def _with_rungs(ended: StudyEnded, trials: Sequence[TrialRecord]) -> StudyEnded:
    """Adds how well each rung that stopped trials ranks them as the end does, and what promotions cost."""
    correlations = {str(samples): value for samples, value in rung_correlations(trials).items()}
    switches = {str(number): seconds for number, seconds in switch_costs(trials).items()}
    return replace(ended, rung_correlations=correlations, switches=switches)


def _run(
    prepared: Prepared,
    options: Options,
    ledger: Ledger,
    broadcast: Broadcast,
    extend: Extend | None,
    connection: ExitStack,
) -> StudyEnded:
    study = prepared.space.study
    gang = Gang(study.num_workers, study.cpus_per_worker, study.gpus_per_worker)
    ledger.starting_points.freeze(prepared.config)  # before anything is booked
    log = StudyFolder(options.directory).ray_log
    packages = top_packages(prepared.family, prepared.space.module_name)
    with connection:
        connection.enter_context(
            connect(options.address, log, tell=lambda text: broadcast(Notice(text=text)), packages=packages)
        )
        num_lanes = min(book(gang, study.num_lanes, options.wait_s), ledger.num_open())
        broadcast(_started(prepared, options, ledger, num_lanes))
        starts = [point.sentence() for point in ledger.starting_points.frozen()]
        broadcast.tell([*starts, *_left_behind(ledger), *_without_rungs(prepared), *ledger.notes])
        controller = StudyController(
            ledger,
            broadcast,
            num_lanes=num_lanes,
            describe=lambda proposal: _described(prepared, proposal, ledger),
            limit=lambda: _limit(ledger),
            extend=None if extend is None else lambda: _extended(ledger, broadcast, extend),
        )
        if ledger.num_recovered:
            text = f"trials that an earlier session left running and that go on: {ledger.num_recovered}"
            broadcast(Notice(text=text))
        number = 0
        try:
            with _stoppable(controller, broadcast):
                _tune(prepared, options, controller, gang, num_lanes)
        except Exception as error:  # after a failure that is known, only what followed from it
            controller.halt(error)
        except KeyboardInterrupt as error:
            number = signal_of(error)
            raise
        finally:
            controller.close(signal=number)
    if controller.failure is not None:
        raise controller.failure
    if controller.limit and not controller.stopping:
        return StudyEnded(end="finished", reason=controller.limit)
    if ledger.num_open():
        return StudyEnded(end="interrupted", reason="stopped by Ctrl-C", signal=signal.SIGINT)
    return StudyEnded(end="finished")


def _limit(ledger: Ledger) -> str:
    study = ledger.space.study
    return limits.reached(study, ledger.trials()) if limits.has_limits(study) else ""


def _extended(ledger: Ledger, broadcast: Broadcast, extend: Extend) -> bool:
    """Adds the trials that those so far ask for; returns whether there are some."""
    trials = extend(ledger.read())
    if trials:
        extend_study(ledger, trials)
        broadcast(StudyExtended(num_trials=ledger.space.study.num_trials))
    return bool(trials)


def _stages(family: str, config: FamilyConfig) -> tuple[Stage, ...]:
    return discovery.load_family(family).task(config).stages()


def _without_rungs(prepared: Prepared) -> Iterator[str]:
    """Says that early stopping compares nothing if all rungs come before the metric means something."""
    study = prepared.space.study
    samples = judged_from(_stages(prepared.family, prepared.config), study)
    if study.rungs and samples > study.rungs[-1]:
        yield (
            f"no trial is stopped early: its stages train what {study.metric} needs from {samples:,} samples on, and "
            f"the last rung lies at {study.rungs[-1]:,}"
        )


def _left_behind(ledger: Ledger) -> Iterator[str]:
    """Yields warnings about checkpoints of an earlier study, and about a folder in which nothing is deleted."""
    folder = StudyFolder(ledger.directory).checkpoints
    if not folder.exists():
        return
    if ledger.is_new and any(map(checkpoints_of, folder.iterdir())):
        yield f"checkpoints of an earlier study with this name lie in {folder}; its trials do not go on from them"
    if not lies_in(folder, ledger.directory):
        yield f"nothing is deleted outside of the study's folder, and {folder} is a link that leads out of it"


@contextmanager
def _stoppable(controller: StudyController, broadcast: Broadcast) -> Iterator[None]:
    """Makes the first Ctrl-C wait for the evaluations that are due; the second one raises KeyboardInterrupt.

    Before any lane has trained there is nothing to wait for: the first one raises.
    """

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not broadcast.any_trained:
            raise KeyboardInterrupt
        controller.stop()
        broadcast(Notice(text="stopping after the next evaluation of each trial; Ctrl-C again stops at once"))
        for trial, seconds in controller.silent().items():
            broadcast(Notice(text=f"no evaluation of trial {trial} for {in_words(seconds)}"))

    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tune(
    prepared: Prepared, options: Options, controller: StudyController, gang: Gang, num_lanes: int
) -> None:
    # Ray reads its environment when it is imported, so not before `connect` has set it.
    from thalweg.lanes.lane import LaneSettings
    from thalweg.search.tune_adapters import run_tune

    study = prepared.space.study
    settings = LaneSettings(
        gang=gang,
        family=prepared.family,
        metric=study.metric,
        evaluations=study.evaluations,
        data_root=str(prepared.data_root),
        directory=str(options.directory),
        keep_last=study.keep_last,
        max_silence_s=study.max_silence_s,
        study=controller.study,
        code=prepared.code.hashes,
    )
    run_tune(controller, settings, study, num_lanes)


def _described(
    prepared: Prepared, proposal: Proposal, ledger: Ledger
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Returns tags and documents of a new trial; one of a population has its schedule so far."""
    found, documents = describe(prepared, proposal, ledger.starting_points)
    if prepared.space.study.population is None:
        return found, documents
    segments = schedule(chain(ledger.read().trials, proposal.number))
    return found, {**documents, SCHEDULE: json.dumps(segments, indent=2)}


def describe(
    prepared: Prepared, proposal: Proposal, starting_points: StartingPoints
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Returns tags and documents, by name, for the records of a new trial."""
    found = {name: prepared.tags[name] for name in ("data_fingerprint", "protocol_hash", "code_hash")}
    found |= tags(starting_points.points(proposal.config))
    documents = {"config.json": json.dumps(proposal.config.model_dump(mode="json"), indent=2)}
    return found, documents


def _started(prepared: Prepared, options: Options, ledger: Ledger, num_lanes: int) -> StudyStarted:
    study, space = prepared.space.study, prepared.space
    return StudyStarted(
        study=options.name,
        space=space.module_name,
        family=discovery.load_family(space.config_type).name,
        metric=study.metric,
        mode=study.mode,
        num_trials=study.num_trials,
        samples=study.samples,
        num_lanes=num_lanes,
        num_workers=study.num_workers,
        directory=str(options.directory),
        definition=settings_told(study),
        tags={
            **prepared.tags,
            **({"options": options_of(space.overrides)} if space.overrides else {}),
            **({CONFIRMS: space.confirms} if space.confirms else {}),
            **provenance(),
            **tags(ledger.starting_points.frozen()),
            **earlier_studies.tags(study.lessons),
        },
        source_file=str(space.file),
        code_folder=str(StudyFolder(options.directory).code(prepared.code.hash)),
        finished_trials=sum(trial.is_over for trial in ledger.trials()),
        identity=ledger.record_identity,
        is_new=ledger.is_new,
    )
