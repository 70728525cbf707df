"""Phrases that sentences share."""

from thalweg.wording import counted, some


def test_one_trial_is_not_1_trials() -> None:
    assert (counted(1, "trial"), counted(2000, "trial")) == ("1 trial", "2,000 trials")


def test_the_first_of_many_names_are_written_and_how_many_more_there_are() -> None:
    names = [f"n{number}" for number in range(1203)]
    assert some(names[:5]) == "n0, n1, n2, n3, n4"
    assert some(names[:6]) == "n0, n1, n2, n3, n4 and 1 more"
    assert some(iter(names), 2, "; ") == "n0; n1 and 1,201 more"
    assert some([]) == ""
