"""Studies that were never trained: parameter sets with the results that a search would have recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kept import evaluated

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract
from thalweg.contract import Metric
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal

RUNS = Path("thalweg_runs")
PROTOCOL = {"family": "families.toy", "data": "waves-1", "num_val_samples": 21, "reference": {"split": "val"}}


@dataclass(kw_only=True)
class RecordedStudy:
    """What a study is made of: parameter sets with the objective at each of their evaluations; None ends it early."""

    trials: Sequence[tuple[Mapping[str, Any], Sequence[float | None]]]
    protocol: str = "aaa"
    parts: Mapping[str, Any] = field(default_factory=lambda: PROTOCOL)
    metrics: tuple[Metric, ...] = contract.metrics_of(ToyTask(Toy()))
    settings: Mapping[str, Any] = field(default_factory=dict)

    def write(self, name: str, output: Path = RUNS) -> None:
        """Writes it as a search would."""
        params = tuple({"trouble": "none", **each} for each, _ in self.trials)
        space = load_space("spaces.toys").with_settings(
            first_trials=params, num_trials=len(params), scheduler="none", **self.settings
        )
        ledger = Ledger.open(output / name, name, space)
        ledger.declare(self.metrics)
        ledger.protocol.describe(self.parts)
        for each, curve in self.trials:
            proposal = ledger.ask()
            assert isinstance(proposal, Proposal)
            for place, value in enumerate(curve, start=1):
                if value is None:
                    ledger.prune(proposal.number)
                    break
                size = 10.0 * float(each["width"])
                metrics = {"mse": value, "mse_first": value / 2, "train_mse": 0.1}
                ledger.report(
                    proposal.number,
                    evaluated(
                        samples=64 * place,
                        value=metrics[space.study.metric],
                        metrics=metrics,
                        protocol=self.protocol,
                        final=place == len(curve),
                        costs={"num_parameters": size},
                    ),
                )
            else:
                ledger.complete(proposal.number)
        ledger.close()
