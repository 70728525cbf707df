"""Circumstances are kept as stretches of a training."""

from kept import evaluated

from thalweg.search.reproduction.circumstances import at, cut, extended

KNOWN = [{"since": 32, "device": "cpu"}, {"since": 96, "device": "gpu"}]


def test_an_evaluation_belongs_to_the_last_stretch_that_began() -> None:
    devices = [at(KNOWN, samples).get("device") for samples in (16, 32, 64, 96, 128)]
    assert devices == [None, "cpu", "cpu", "gpu", "gpu"]
    assert cut(KNOWN, 64) == KNOWN[:1] and cut(KNOWN, None) == KNOWN


def test_a_stretch_is_added_when_something_changes() -> None:
    def report(samples: int, **provenance: object) -> list[object] | None:
        found = extended(KNOWN, evaluated(samples, 0.5, provenance=provenance))
        return None if found is None else list(found)

    assert report(128, device="gpu", host="another") is None  # no number depends on a host's name
    assert report(128, device="cpu") == [*KNOWN, {"since": 128, "device": "cpu"}]
