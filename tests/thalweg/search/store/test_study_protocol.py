"""What trials of a study share: the parts of its protocol, and the code that each of them runs."""

from collections.abc import Callable

from kept import evaluated

from thalweg.search.space import Space
from thalweg.search.store.optuna_study import Ledger
from thalweg.search.store.proposals import Proposal

Make = Callable[..., Space]
Open = Callable[..., Ledger]


def ask(ledger: Ledger) -> Proposal:
    proposal = ledger.ask()
    assert isinstance(proposal, Proposal)
    return proposal


def test_what_the_protocol_consists_of_and_the_code_are_read_with_the_study(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    assert ledger.read().protocol == {} and ledger.read().code == {}
    ledger.protocol.describe({"data": "f1", "days": (1, 3)})
    ledger.report(ask(ledger).number, evaluated(samples=100, value=1.0, protocol="aaa"))
    list(ledger.code.check({"space.py": "1"}))
    list(ledger.code.check({"space.py": "2"}, accept=True))
    record = ledger.read()
    assert record.protocol == {"data": "f1", "days": [1, 3]} and record.code == {"space.py": "2"}
    assert [change["from_trial"] for change in record.code_changes] == [1]


def test_a_trial_that_waits_to_go_on_runs_the_code_of_the_session_to_come(
    make_space: Make, open_ledger: Open
) -> None:
    ledger = open_ledger(make_space())
    first, second = ask(ledger), ask(ledger)
    for proposal in (first, second):
        ledger.report(proposal.number, evaluated(samples=100, value=1.0))
    list(ledger.code.check({"space.py": "1"}))
    ledger.complete(first.number)
    ledger.interrupt_all()
    assert [trial.status for trial in ledger.trials()] == ["complete", "failed", "waiting"]
    (told,) = ledger.code.check({"space.py": "2"}, accept=True)
    assert told.startswith("trials from 2 on run other code")
    assert [change["from_trial"] for change in ledger.read().code_changes] == [2]
