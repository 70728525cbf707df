"""The quickstart's question answered by Ray's stock stack, as its documentation shows: an arm of ``end_to_end.py``.

The pattern is that of Ray Train's guide "Hyperparameter Tuning with Ray Tune": a Tune function starts one TorchTrainer
per trial and passes on what its workers report by ``TuneReportCallback``; at most as many trials at a time as the
processors hold; the functions, which only wait, book a resource of their own and no processor. Around it OptunaSearch
with its default sampler and the space as a define-by-run function, ASHAScheduler with its defaults over the same eight
evaluations, and MLflowLoggerCallback into a database.

Data, model, loss, DeepSpeed engine, training loop, evaluation and checkpoints in the worker are Thalweg's own, so that
a trial with the same parameters gives the same numbers in both arms and the platform alone differs. That is to the
stock stack's advantage where Thalweg's loop is quicker than a plain one. So are these: no loggers beside MLflow's, no
copies of checkpoints to Tune's storage, no baselines, and no check of the space.
"""

import argparse
import importlib
import os
from functools import partial
from pathlib import Path
from typing import Any, cast

SPACE = "benchmarks._end_to_end_space"
DRIVER = {"TRAIN_DRIVER_RESOURCE": 0.01}
"""What a Tune function books, by the name that the guide gives it."""


def order_of(trial: str, params: dict[str, Any], samples: int, folder: Path) -> Any:
    """Returns the order to train a trial of the space."""
    from thalweg.search.space import load_space
    from thalweg.training.messages import TrialOrder

    space = load_space(SPACE)
    study = space.study.model_copy(update={"samples": samples})
    return TrialOrder(
        trial=trial,
        family="trainables.water_mae",
        config=space.replay(params)[0].model_dump(mode="json"),
        metric=study.metric,
        evaluations=study.evaluations,
        data_root=str(Path(os.environ["THALWEG_DATA"]) / "water_mae"),
        directory=str(folder),
    )


def train(config: dict[str, Any]) -> None:
    """Trains a trial in a worker of Ray Train, from evaluation to evaluation."""
    from thalweg.training.process_group import join
    from thalweg.training.session import DataCache, Session

    order = order_of(config["trial"], config["params"], config["samples"], Path(config["folder"]))
    session = Session(order, join(), DataCache())
    report = session.advance(0)
    seconds = _tell(report, 0.0)
    while not report.done:
        report = session.advance(report.samples)
        seconds = _tell(report, seconds)


def _tell(report: Any, seconds: float) -> float:
    """Reports an evaluation; returns the seconds of training steps so far, which it tells too."""
    from ray import train as ray_train

    seconds += report.timings["train_s"]
    ray_train.report({**report.metrics, "samples": report.samples, "time/train_s": seconds})
    return seconds


def drive(config: dict[str, Any]) -> None:
    """Starts the Ray Train run of a trial; Tune calls it."""
    from ray import train as ray_train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trial = str(tune.get_context().get_trial_id())
    params = {name: value for name, value in config.items() if name not in ("folder", "samples")}
    TorchTrainer(
        importlib.import_module("benchmarks.stock_stack").train,
        train_loop_config={**config, "trial": trial, "params": params},
        scaling_config=ray_train.ScalingConfig(num_workers=1),
        run_config=ray_train.RunConfig(
            name=f"train-trial_id={trial}",
            storage_path=config["folder"],
            callbacks=[cast(Any, TuneReportCallback)()],
        ),
    ).fit()


def ask(trial: Any, **constants: Any) -> dict[str, Any]:
    """Asks an Optuna trial for the space's parameters, and returns what all trials have alike."""
    from thalweg.search.space import load_space

    load_space(SPACE).function(trial)
    return constants


def search(num_trials: int, samples: int, lanes: int, folder: Path) -> None:
    """Searches the space with the stock stack, and prints the best trial."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from thalweg.search.space import load_space

    study = load_space(SPACE).study
    define = partial(
        importlib.import_module("benchmarks.stock_stack").ask, folder=str(folder), samples=samples
    )
    ray.init(
        address="local", log_to_driver=False, resources={name: 1 for name in DRIVER}, _temp_dir=str(folder)
    )
    found = tune.Tuner(
        tune.with_resources(drive, DRIVER),
        tune_config=tune.TuneConfig(
            metric=study.metric,
            mode=study.mode,
            num_samples=num_trials,
            max_concurrent_trials=lanes,
            search_alg=OptunaSearch(define, metric=study.metric, mode=study.mode, seed=study.seed),
            scheduler=ASHAScheduler(max_t=study.num_evaluations),
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(folder),
            callbacks=[
                MLflowLoggerCallback(
                    tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="quickstart"
                )
            ],
        ),
    ).fit()
    best = found.get_best_result(scope="all")
    print(best.config)


def main() -> None:
    """Searches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True, help="budget of a trial")
    parser.add_argument("--lanes", type=int, default=2, help="trials at a time")
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    search(given.trials, given.samples, given.lanes, given.folder)


if __name__ == "__main__":
    main()
