"""A study's runs in MLflow: an experiment, a parent run, and a child run for each trial and baseline.

The tag ``status`` holds Thalweg's status of the trial, ``ended_as`` why it ended, as a word (`events.EndedAs`), and
``reason`` why, as a sentence. MLflow's own status has no value for a trial that was stopped early,
and shows KILLED in red, as FAILED: complete and pruned are FINISHED, interrupted is KILLED, failed is FAILED.
Every method is idempotent: the delivering process repeats what may not have arrived after a crash or an unanswered
request. The study's storage is compared with MLflow, and what MLflow lacks is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.events import (
    SCHEDULE,
    BaselineEvaluated,
    EndedAs,
    Event,
    StudyEnded,
    StudyExtended,
    StudyStarted,
    TrialEnded,
    TrialKept,
    TrialProgress,
    TrialStarted,
    ended_by,
)
from thalweg.study_folder import StudyFolder, baseline_name, trial_name, trial_title
from thalweg.tracking import naming, pages
from thalweg.tracking.batch import Batch
from thalweg.tracking.history import CONTINUES, History, completed, is_inherited
from thalweg.tracking.known_runs import KnownRuns
from thalweg.tracking.metrics.curated import (
    MAX_RUNGS,
    MAX_SCHEDULED,
    OBJECTIVE,
    SAMPLES,
    TRIAL_SECONDS,
    spread,
)
from thalweg.tracking.metrics.run_metrics import RunMetrics
from thalweg.tracking.spool import DeliveryState, Leader, Moment, OpenRun, event_from

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

NOTE = "mlflow.note.content"
ENDED_AS = "ended_as"
PARENT_RUN, REPLACED_RUN = "parent_run", "replaced_run"
"""Tags of a trial of a population: ids of the runs of the trial that it continues, and of that in whose place it is."""
INTERRUPTED = "the study's process ended before the trial did"
NUM_LEADERS = 10

_STOPPED = "interrupted"
_MLFLOW_STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", _STOPPED: "KILLED"}
_STUDY_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class StudyRuns:
    """Turns a study's events into runs.

    Args:
        client: Client of the tracking address.
        state: The runs that exist; updated as events are applied.
        artifact_folder: Folder for the artifacts of a new experiment; None leaves it to the server.
        history: The study's past events; None if there are none.

    Attributes:
        known: The runs of the study that MLflow has.
    """

    def __init__(
        self,
        client: MlflowClient,
        state: DeliveryState,
        artifact_folder: Path | None,
        history: History | None = None,
    ) -> None:
        self._history = history or History(tuple)
        self._client = client
        self._state = state
        self._artifact_folder = artifact_folder
        self._metrics = RunMetrics(client, state)
        self.known = KnownRuns(client, state)

    def apply(self, moments: list[Moment]) -> None:
        """Applies events in order; metrics are sent in few batches, and tables of all metrics written at the end."""
        batch = Batch(self._client)
        kept: list[TrialKept] = []
        for moment in moments:
            if isinstance(moment.event, TrialKept):
                kept.append(moment.event)
                continue
            self._compare(kept, batch)
            self._apply(moment.event, moment.time_ms, batch)
        self._compare(kept, batch)
        self._metrics.write()
        batch.send()

    def check(self) -> None:
        """Raises whatever MLflow's client raises if MLflow does not answer."""
        self._client.search_experiments(max_results=1)

    def interrupt(self, time_ms: int, reason: str = INTERRUPTED) -> None:
        """Ends every run of this study that still counts as running."""
        state, batch = self._state, Batch(self._client)
        if not state.experiment_id:
            return
        for run in self.known.search(f"attributes.status = 'RUNNING' and {self.known.own()}"):
            batch.add_tags(run.info.run_id, _stopped(ended_by(0), reason))
            batch.end(run.info.run_id, "KILLED", time_ms)
        batch.send()
        state.open.clear()

    def _compare(self, kept: list[TrialKept], batch: Batch) -> None:
        """Writes what MLflow lacks of trials that have ended; empties the list."""
        if not kept:
            return
        batch.send()
        self._parent()
        self.known.restore()
        own = f"tags.`thalweg.kind` = 'trial' and {self.known.own()}"
        runs = {run.info.run_name: run for run in self.known.search(own)}
        lacking = {
            trial.began.number: trial
            for trial in kept
            if not is_whole(trial, runs.get(trial_title(trial.began.number)))
        }
        _add_words(kept, runs, batch)
        kept.clear()
        if not lacking:
            return
        self.known.forget_children()  # one of them may be gone for good
        told = self._history.moments(lacking)
        for number, trial in lacking.items():
            self._state.open.pop(str(number), None)
            for moment in completed(trial, told.get(number, [])):
                self._apply(moment.event, moment.time_ms, batch)

    def _apply(self, event: Event, time_ms: int, batch: Batch) -> None:
        match event:
            case StudyStarted():
                self._start_study(event, time_ms)
            case BaselineEvaluated():
                self._record_baseline(event, time_ms, batch)
            case TrialStarted():
                self._start_trial(event, time_ms, batch)
            case TrialProgress():
                self._record_progress(event, time_ms, batch)
            case TrialEnded():
                self._end_trial(event, time_ms, batch)
            case StudyExtended():
                self._state.started["num_trials"] = event.num_trials
            case StudyEnded():
                batch.send()
                self._end_study(event, time_ms)

    def _start_study(self, event: StudyStarted, time_ms: int) -> None:
        state, client, batch = self._state, self._client, Batch(self._client)
        state.started = json.loads(Moment(time_ms, event).line())["event"]
        state.identity = event.identity or state.identity
        self.known.open_experiment(event, self._artifact_folder)
        parent = self.known.parent(event, time_ms)
        self.interrupt(time_ms)
        tags = {**event.tags, **self.known.identity("study"), "space": event.space, "family": event.family}
        tags |= {"metric": event.metric, "mode": event.mode, "status": "running"}
        if parent is None:
            name, own = f"study {event.study}", naming.tags(tags)
            parent = client.create_run(state.experiment_id, time_ms, own, run_name=name).info.run_id
        state.parent_id = parent
        client.update_run(parent, status="RUNNING")
        batch.add_tags(parent, naming.tags(tags))
        known = client.get_run(parent).data.params
        values = naming.plain_params(event.definition or _definition(event))
        batch.add_params(parent, {name: value for name, value in values.items() if name not in known})
        _add_data(batch, parent, event.tags.get("data_set"), event.tags)
        batch.send()
        if event.source_file and Path(event.source_file).is_file():
            client.log_artifact(parent, event.source_file)
        if event.code_folder and Path(event.code_folder).is_dir():
            client.log_artifacts(parent, event.code_folder, f"code/{Path(event.code_folder).name}")
        self._write_notes()

    def _record_baseline(self, event: BaselineEvaluated, time_ms: int, batch: Batch) -> None:
        run_id = self.known.child(self._parent(), naming.baseline(event.name), "baseline", time_ms)
        metrics = naming.family_metrics(event.metrics)
        value = event.metrics.get(self._state.started["metric"])
        if value is not None:
            metrics[OBJECTIVE] = self._state.baselines[event.name] = value
        self._keep_unit_sums(run_id, baseline_name(event.name))
        self._metrics.begin(run_id)
        self._metrics.keep(run_id, metrics, 0, time_ms)
        curated = {name: metrics[name] for name in self._metrics.shown(metrics) if name in metrics}
        _add_baseline(self._client.get_run(run_id), curated, self._state, time_ms, batch)

    def _start_trial(self, event: TrialStarted, time_ms: int, batch: Batch) -> None:
        name, tags = trial_title(event.number), naming.tags({**event.tags, "status": "running"})
        known = name in self.known.children(self._parent())
        run_id = self.known.child(self._parent(), name, "trial", time_ms, tags)
        values = naming.params(event.params, event.config)
        run = OpenRun(run_id, searched=naming.settings(event.params), continues=tags.get(CONTINUES, ""))
        if not known:
            self._metrics.begin(run_id)
        else:
            batch.send()
            run.seconds = self._continue(event.number, run_id, values, time_ms)
            batch.add_tags(run_id, tags)
        _add_setting(batch, run_id, values, event)
        _offer_views(self._client, self._state, event, time_ms)
        documents = dict(event.documents)
        if naming.is_altered(event.params):
            documents["searched.json"] = json.dumps(
                dict(event.params), indent=2, ensure_ascii=False, default=str
            )
        self._keep_documents(run_id, documents)
        _add_schedule(event, run_id, self.known.children(self._parent()), time_ms, batch)
        self._state.begin(event.number, run, event.tags.get("replaces", ""))

    def _keep_unit_sums(self, run_id: str, name: str) -> None:
        """Uploads the sums by unit of a trial or baseline, if its measures keep any."""
        folder = StudyFolder(Path(self._state.folder or self._state.started["directory"]))
        if (file := folder.unit_sums(name)).is_file():
            self._client.log_artifact(run_id, str(file), folder.units.name)

    def _keep_documents(self, run_id: str, documents: Mapping[str, str]) -> None:
        for file, text in documents.items():
            self._client.log_text(run_id, text, file)

    def _continue(self, number: int, run_id: str, params: dict[str, str], time_ms: int) -> dict[str, float]:
        """Continues a run that exists: drops the parameters that it has, returns the seconds spent before."""
        self._client.update_run(run_id, status="RUNNING")
        run = self._client.get_run(run_id)
        for name in run.data.params.keys() & params.keys():
            del params[name]
        if str(number) in self._state.open:
            return self._state.open[str(number)].seconds
        return self._metrics.seconds_before(run, time_ms)

    def _record_progress(self, event: TrialProgress, time_ms: int, batch: Batch) -> None:
        run = self._open(event.number)
        if run.continues and is_inherited(event):
            event = self._history.original(event, int(run.continues))
        if event.provenance and not run.described:
            batch.add_tags(run.run_id, naming.tags(event.provenance))
            run.described = True
        self._keep_documents(run.run_id, event.documents)
        for name, value in naming.time_metrics(event.timings).items():
            run.seconds[name] = run.seconds.get(name, 0.0) + value
        self._metrics.add_evaluation(run, event, time_ms, batch)
        run.reached = max(run.reached, event.samples)

    def _end_trial(self, event: TrialEnded, time_ms: int, batch: Batch) -> None:
        state, run = self._state, self._open(event.number)
        values = {TRIAL_SECONDS: event.seconds}
        if event.value is not None and event.samples > run.reached:
            values[OBJECTIVE] = event.value
        shown = {SAMPLES: float(event.samples), **values}
        batch.add_metrics(run.run_id, shown, event.samples, time_ms)
        self._metrics.keep(run.run_id, values, event.samples, time_ms)
        status = word(event)
        reason = event.reason or _early(status, event.samples)
        tags = {"status": status, ENDED_AS: _word(event), "reason": reason, "breaks": event.breaks}
        if event.status == "complete":  # the study deletes the others'
            tags["checkpoint"] = event.checkpoint or ""
            self._keep_unit_sums(run.run_id, trial_name(event.number))
        tags[NOTE] = reason if event.interrupted or not reason else f"{status}: {reason}"
        batch.add_tags(run.run_id, naming.tags(tags))
        batch.end(run.run_id, _MLFLOW_STATUS[status], time_ms)
        state.ended[str(event.number)] = status
        _rank(state, event, run)
        _add_summary(state, batch, time_ms)
        state.open.pop(str(event.number), None)

    def _end_study(self, event: StudyEnded, time_ms: int) -> None:
        parent, batch = self._state.parent_id, Batch(self._client)
        for run in self._state.open.values():
            reason = event.reason or f"the study was {event.end}"
            batch.add_tags(run.run_id, _stopped(event.trials_ended_as, reason))
            batch.end(run.run_id, "KILLED", time_ms)
        self._state.open.clear()
        metrics = naming.study_metrics(event, spread(event.rung_correlations, MAX_RUNGS))
        batch.add_metrics(parent, metrics, len(self._state.ended), time_ms)
        batch.add_tags(parent, naming.tags({"status": event.end, "reason": event.reason}))
        batch.end(parent, _STUDY_STATUS[event.end], time_ms)
        batch.send()
        self._write_notes()

    def _write_notes(self) -> None:
        state = self._state
        note = naming.clip(pages.experiment_note(state), naming.MAX_EXPERIMENT_TAG_LENGTH)
        self._client.set_experiment_tag(state.experiment_id, NOTE, note)
        table = naming.clip(pages.leaderboard(state), naming.MAX_TAG_LENGTH)
        self._client.set_tag(state.parent_id, NOTE, table)

    def _open(self, number: int) -> OpenRun:
        """Returns a trial's run; creates it if the trial's start went to another tracking address."""
        known = self._state.open.get(str(number))
        if known is None:
            known = OpenRun(self.known.child(self._parent(), trial_title(number), "trial", None))
            self._state.open[str(number)] = known
        return known

    def _parent(self) -> str:
        if not self._state.parent_id:
            event = event_from("StudyStarted", self._state.started)
            assert isinstance(event, StudyStarted)
            self._start_study(event, 0)
        return self._state.parent_id


def _add_schedule(
    event: TrialStarted, run_id: str, runs: Mapping[str, str], time_ms: int, batch: Batch
) -> None:
    """Records the values of a trial of a population over training, and links it with those that it follows."""
    segments = json.loads(event.documents.get(SCHEDULE, "[]"))
    shown = naming.schedule_names([segment["params"] for segment in segments])[:MAX_SCHEDULED]
    for segment in segments:
        batch.add_metrics(
            run_id, naming.schedule_metrics(segment["params"]), segment["from"], time_ms, only=shown
        )
    for tag, link in (("parent", PARENT_RUN), ("replaces", REPLACED_RUN)):
        other = runs.get(trial_title(int(event.tags[tag]))) if tag in event.tags else None
        if other is not None:
            batch.add_tags(run_id, {link: other})


def _stopped(ended_as: EndedAs, reason: str) -> dict[str, str]:
    return naming.tags({"status": _STOPPED, ENDED_AS: ended_as, "reason": reason})


def _word(event: TrialEnded) -> str:
    """Returns why a trial ended, as a word; empty for a failure that an earlier version of Thalweg recorded."""
    return event.ended_as or ("" if event.status == "failed" else event.status)


def _add_words(kept: Iterable[TrialKept], runs: Mapping[str, Run], batch: Batch) -> None:
    """Adds to runs that an earlier version of Thalweg wrote why their trials ended."""
    for trial in kept:
        run = runs.get(trial_title(trial.began.number))
        if run is not None and _word(trial.ended) != run.data.tags.get(ENDED_AS, ""):
            batch.add_tags(run.info.run_id, {ENDED_AS: _word(trial.ended)})


def _rank(state: DeliveryState, event: TrialEnded, run: OpenRun) -> None:
    """Puts a complete trial that keeps all constraints into the leaderboard; an early-stopped one saw fewer samples."""
    rest = [leader for leader in state.leaders if leader.number != event.number]
    if event.status == "complete" and event.value is not None and not event.breaks:
        rest.append(Leader(event.number, event.value, run.run_id, run.searched))
    sign = 1 if state.started["mode"] == "min" else -1
    state.leaders = sorted(rest, key=lambda leader: sign * leader.value)[:NUM_LEADERS]


def _add_summary(state: DeliveryState, batch: Batch, time_ms: int) -> None:
    """Counts how trials ended, and names the best one, in the study's run."""
    statuses = [status for number, status in state.ended.items() if number not in state.continued]
    values = {
        f"trials/{status}": float(statuses.count(status)) for status in _MLFLOW_STATUS if status != _STOPPED
    }
    if state.leaders:
        values["best_objective"] = state.leaders[0].value
        batch.add_tags(state.parent_id, {"best_trial": trial_title(state.leaders[0].number)})
    batch.add_metrics(state.parent_id, values, len(state.ended), time_ms)


def _offer_views(client: MlflowClient, state: DeliveryState, event: TrialStarted, time_ms: int) -> None:
    """Sets up the experiment's views, again if a space adds a parameter or a value is longer than those before."""
    letters = {name: len(naming.number(value)) for name, value in event.params.items()}
    new = {name: count for name, count in letters.items() if count > state.longest.get(name, -1)}
    if new:
        state.searched += [name for name in new if name not in state.searched]
        state.longest |= new
        searched = {name: state.longest.get(name, 0) for name in state.searched}
        tags = pages.experiment_tags(searched, state.started["mode"], time_ms)
        for name, value in tags.items():
            client.set_experiment_tag(state.experiment_id, name, value)


def _early(status: str, samples: int) -> str:
    return f"stopped early after {samples:,} samples" if status == "pruned" else ""


def word(event: TrialEnded) -> str:
    """Returns the value of the tag ``status``: how a trial ended."""
    return _STOPPED if event.interrupted else event.status


def is_whole(kept: TrialKept, run: Run | None) -> bool:
    """Returns whether a run holds all of a trial, as the study's storage has it."""
    if run is None or "samples" not in run.data.metrics:
        return False
    status = word(kept.ended)
    if (run.data.tags.get("status"), run.info.status) != (status, _MLFLOW_STATUS[status]):
        return False
    if kept.curve and run.data.metrics.get(OBJECTIVE) != kept.curve[-1][1]:
        return False
    return naming.params(kept.began.params, {}).keys() <= run.data.params.keys()


def _definition(event: StudyStarted) -> dict[str, Any]:
    names = ("num_trials", "samples", "num_lanes", "num_workers")
    return {name: getattr(event, name) for name in names}


def _add_baseline(
    run: Run, metrics: Mapping[str, float], state: DeliveryState, time_ms: int, batch: Batch
) -> None:
    """Adds what the run of a baseline lacks: each session tells all, which MLflow would keep as further points."""
    recorded = run.data.metrics
    lacking = {name: value for name, value in metrics.items() if recorded.get(naming.key(name)) != value}
    if lacking or run.info.status != "FINISHED":
        batch.add_metrics(run.info.run_id, lacking, 0, time_ms)
        batch.add_tags(run.info.run_id, {"status": "complete", ENDED_AS: "complete"})
        batch.end(run.info.run_id, "FINISHED", time_ms)
    tags = state.started.get("tags", {})
    _add_data(batch, run.info.run_id, tags.get("data_set"), tags)


def _add_setting(batch: Batch, run_id: str, values: Mapping[str, str], event: TrialStarted) -> None:
    """Adds a trial's parameters, the original names of those that were renamed, and its data set."""
    batch.add_params(run_id, values)
    batch.add_tags(run_id, naming.changed_params(event.params, event.config))
    _add_data(batch, run_id, event.config.get("dataset"), event.tags)


def _add_data(batch: Batch, run_id: str, name: object, tags: Mapping[str, str]) -> None:
    """Adds the data set that a run reads, if its name and fingerprint are known."""
    if name and (fingerprint := tags.get("data_fingerprint")):
        batch.add_data(run_id, str(name), str(fingerprint))
