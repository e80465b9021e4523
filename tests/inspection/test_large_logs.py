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


def test_of_other_logs_the_same_days_are_looked_at(
    deployment, make_event, days, check, monkeypatch
):
    monkeypatch.setattr(sampling, "_PLACES", 2)
    monkeypatch.setattr(sampling, "_FEW_BYTES", 1)
    deployment.values["source"]["searches"] = {"path": "searches/{date}.jsonl"}
    searches = {"name": "searches", "kind": "text", "table": "tags"}
    deployment.values["query"]["features"].append(searches)
    for number, day in enumerate(days):
        shift = 86_400 * number
        deployment.write_day(day, [make_event(n, n, shift + n, device="tv") for n in range(5)])
        query = {"user_id": "u1", "query": "x", "timestamp": make_event(1, 1, shift)["timestamp"]}
        deployment.write(f"searches/{day}.jsonl", [query] * (number + 1))
    found = check()
    assert found.refusal is None
    assert found.part("searches").times.days == found.part("events").times.days
    assert len(found.part("events").times.days) == 2
