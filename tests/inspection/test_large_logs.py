"""Logs of which a sample is read: what is judged, and how it is said."""

import pytest

from twotower_tf.inspection import sample as sampling


@pytest.fixture
def large(monkeypatch):
    """Lets a few thousand events count as a large log."""
    monkeypatch.setattr(sampling, "_PART_BYTES", 20_000)
    monkeypatch.setattr(sampling, "_FEW_BYTES", 1)
    monkeypatch.setattr("twotower_tf.datasets.lines._BLOCK_BYTES", 10_000)


@pytest.mark.parametrize("in_one_file", [False, True])
def test_too_much_rejected_in_a_sample_is_refused_as_such(
    deployment, make_event, days, check, large, in_one_file
):
    events = [make_event(n % 50, n % 6, n * 20, device="tv") for n in range(4000)]
    for event in events[::7]:
        event["watched"] = "long"
    deployment.write_day(days[0], events)
    if in_one_file:
        deployment.in_one_file()
        deployment.write("events.jsonl", events)
    found = check(most=500)
    assert not found.part("events").is_whole
    assert found.part("events").records == pytest.approx(4000, rel=0.1)
    assert "% of them" not in found.refusal
    assert "were rejected (14." in found.refusal
    assert found.refusal.endswith("(of a sample)")


def test_a_bad_record_of_a_day_of_few_in_a_sample_is_not_refused(
    deployment, make_event, days, check, large
):
    # Some are of a day of their own, and one of those is wrong.
    events = [make_event(n % 50, n % 6, n * 20, device="tv") for n in range(4000)]
    events[0].update(timestamp=events[0]["timestamp"] - 86_400 * 9, watched="long")
    deployment.in_one_file()
    deployment.write("events.jsonl", events)
    assert check(most=500).refusal is None
    assert "1 of 1 events of 2024-02-21 were rejected" in check().refusal
