"""Phrases that sentences share."""

from thalweg.wording import counted, shortened, some, told_apart


def test_one_trial_is_not_1_trials() -> None:
    assert (counted(1, "trial"), counted(2000, "trial")) == ("1 trial", "2,000 trials")


def test_the_first_of_many_names_are_written_and_how_many_more_there_are() -> None:
    names = [f"n{number}" for number in range(1203)]
    assert some(names[:5]) == "n0, n1, n2, n3, n4"
    assert some(names[:6]) == "n0, n1, n2, n3, n4 and 1 more"
    assert some(iter(names), 2, "; ") == "n0; n1 and 1,201 more"
    assert some([]) == ""


def test_options_have_as_few_digits_as_tell_them_apart() -> None:
    assert told_apart([0.3 - 0.27, 0.01, 0.01]) == ["0.03", "0.01", "0.01"]
    assert told_apart([1 / 3, 2, True, None, "add"]) == ["0.3333", "2", "True", "None", "add"]
    assert told_apart([0.12345, 0.12346]) == ["0.12345", "0.12346"]
    assert told_apart([0.3 - 0.27, 0.03]) == ["0.02999999999999997", "0.03"]
    assert told_apart([1, 1.0]) == ["1", "1.0"]
    assert told_apart([]) == []


def test_a_value_loses_the_noise_of_its_arithmetic() -> None:
    assert shortened(0.3 - 0.27) == "0.03"
    assert shortened((0.9, 0.1 + 0.2)) == "(0.9, 0.3)"
    assert shortened([0.1 + 0.2, "toys"]) == "[0.3, toys]"
    assert shortened(16_384) == "16384"
