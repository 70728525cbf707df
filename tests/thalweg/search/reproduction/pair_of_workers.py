"""Leaves a study whose only trial two workers trained, for tests.

``torchrun --nproc-per-node 2 -m tests.thalweg.search.reproduction.pair_of_workers FOLDER`` writes ``pair`` there.
"""

import sys
from pathlib import Path

from families.toy.config import Toy
from families.toy.task import ToyTask
from thalweg import contract
from thalweg.search.space import load_space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal
from thalweg.search.train_one import advance, choose
from thalweg.training.messages import Report
from thalweg.training.process_group import join
from thalweg.training.session import DataCache

PARAMS = {"lr": 1e-2}


def main() -> None:
    """Trains on this worker; the first one writes the study."""
    output = Path(sys.argv[1])
    space = load_space("spaces.waiting")
    group = join()
    single = choose(space, PARAMS, output=output, root=output)
    reports: list[Report] = []
    advance(single.order, group, DataCache(), reports.append)
    if group.rank:
        return
    ledger = Ledger.open(output / "pair", "pair", space)
    ledger.declare(contract.metrics_of(ToyTask(Toy())))
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    for report in reports:
        ledger.report(proposal.number, report)
    ledger.complete(proposal.number)
    ledger.close()


if __name__ == "__main__":
    main()
