"""A check refuses what a build refuses, in the same words, and nothing else."""

import datetime
import gzip

import pytest


def _events(deployment, make_event, day, change=None, count=40):
    """Writes events of a day, each changed."""
    shift = 86_400 * (day - datetime.date(2024, 3, 1)).days
    events = [make_event(n % 5, n % 6, shift + n, device="tv") for n in range(count)]
    for number, event in enumerate(events):
        if change is not None:
            change(number, event)
    return deployment.write_day(day, events), events


def fine(deployment, make_event, day):
    _events(deployment, make_event, day)


def renamed_column(deployment, make_event, day):
    _events(deployment, make_event, day, lambda _, event: event.update(devcie=event.pop("device")))


def hardly_a_column(deployment, make_event, day):
    _events(deployment, make_event, day, lambda n, event: n and event.pop("seed"), count=150)


def renamed_in_a_header(deployment, make_event, day):
    deployment.values["source"]["events"]["path"] = "events/{date}.csv"
    lines = [b"user_id,item_id,time_stamp,seed,device,watched"]
    deployment.write(f"events/{day}.csv", [*lines, b"u1,i1,1709251200,,tv,5"])


def milliseconds(deployment, make_event, day):
    _events(
        deployment,
        make_event,
        day,
        lambda _, event: event.update(timestamp=event["timestamp"] * 1000),
    )


def milliseconds_in_one_file(deployment, make_event, day):
    _, events = _events(deployment, make_event, day)
    deployment.in_one_file()
    changed = [{**event, "timestamp": event["timestamp"] * 1000} for event in events]
    deployment.write("events.jsonl", changed)


def padded_items(deployment, make_event, day):
    _events(
        deployment, make_event, day, lambda _, event: event.update(item_id=f" {event['item_id']}")
    )


def whole_floats(deployment, make_event, day):
    deployment.write("items.jsonl", [{"item_id": n, "length": 5, "tags": []} for n in range(6)])
    _events(deployment, make_event, day, lambda n, event: event.update(item_id=f"{n % 6}.0"))
    for feature in deployment.values["candidate"]["features"]:
        feature["required"] = False
    deployment.values["source"]["items"]["optional"] = ["published"]


def null_users(deployment, make_event, day):
    _events(deployment, make_event, day, lambda n, event: n % 2 and event.update(user_id="\\N"))


def broken_lines(deployment, make_event, day):
    _, events = _events(deployment, make_event, day)
    deployment.write_day(day, [*events, *[b"{"] * 5, b"[]"])


def few_broken_lines(deployment, make_event, day):
    _, events = _events(deployment, make_event, day)
    deployment.write_day(day, [*events, b"{"])


def dangling_link(deployment, make_event, day):
    path, _ = _events(deployment, make_event, day)
    (path.parent / "gone.jsonl").symlink_to(path.parent / "elsewhere.jsonl")


def missing_day(deployment, make_event, day):
    _events(deployment, make_event, day + datetime.timedelta(days=1))


def cut_file(deployment, make_event, day):
    path, _ = _events(deployment, make_event, day)
    whole = gzip.compress(path.read_bytes())
    deployment.values["source"]["events"]["path"] = "events/dt={date}/*"
    (path.parent / "b.jsonl.gz").write_bytes(whole[: len(whole) // 2])


def page_in_place_of_the_catalogue(deployment, make_event, day):
    _events(deployment, make_event, day)
    deployment.write("items.jsonl", [b"<html><body>404</body></html>"])


def bad_catalogue(deployment, make_event, day):
    _events(deployment, make_event, day)
    deployment.write("items.jsonl", [{"item_id": "i1", "length": "long"}] * 3)


def no_column_of_profiles(deployment, make_event, day):
    _events(deployment, make_event, day)
    deployment.write("users.jsonl", [{"user_id": f"u{n}", "years": 3} for n in range(30)])


def late(deployment, make_event, day):
    _events(
        deployment,
        make_event,
        day,
        lambda n, event: n % 4 or event.update(timestamp=event["timestamp"] - 86_400),
    )


def no_items(deployment, make_event, day):
    _events(deployment, make_event, day)
    (deployment.source / "items.jsonl").unlink()


ACCEPTED = [fine, hardly_a_column, whole_floats, few_broken_lines]
REFUSED = [
    renamed_column,
    renamed_in_a_header,
    milliseconds,
    milliseconds_in_one_file,
    padded_items,
    null_users,
    broken_lines,
    dangling_link,
    missing_day,
    cut_file,
    page_in_place_of_the_catalogue,
    bad_catalogue,
    no_column_of_profiles,
    late,
    no_items,
]


@pytest.mark.parametrize("damage", ACCEPTED + REFUSED, ids=lambda damage: damage.__name__)
def test_a_check_says_what_a_build_says(deployment, make_event, days, check, build_refuses, damage):
    damage(deployment, make_event, days[0])
    refusal = check(days[0]).refusal
    assert (refusal is None) == (damage in ACCEPTED)
    assert refusal == build_refuses(days[0])


def test_a_few_records_never_end_a_build_nor_a_check(
    deployment, make_event, days, check, build_refuses
):
    broken_lines(deployment, make_event, days[0])
    assert check(days[0], max_rejected=6).refusal is None
    assert build_refuses(days[0], max_rejected=6) is None


def test_the_bytes_of_unreadable_files_count_where_they_may(
    deployment, make_event, days, check, build_refuses
):
    cut_file(deployment, make_event, days[0])
    allowed = {"unreadable_files": "reject", "max_rejected_share": 0.9}
    assert check(days[0], **allowed).refusal is None
    refused = {"unreadable_files": "reject", "max_rejected_share": 0.01}
    refusal = check(days[0], **refused).refusal
    assert "1 of 2 files of events of 2024-03-01 can't be read" in refusal
    assert refusal == build_refuses(days[0], **refused)


def test_a_day_to_come_is_refused(deployment, make_event, check, build_refuses):
    tomorrow = datetime.datetime.now(datetime.timezone.utc).date() + datetime.timedelta(days=1)
    fine(deployment, make_event, tomorrow)
    assert check(tomorrow).refusal == build_refuses(tomorrow)


def test_without_a_day_the_first_bad_one_is_named(deployment, make_event, days, check):
    fine(deployment, make_event, days[0])
    shift = 86_400
    bad = [make_event(n, n % 6, shift + n, device="tv", watched="x") for n in range(9)]
    deployment.write_day(days[1], bad)
    refusal = check().refusal
    assert refusal.startswith("9 of 9 events of 2024-03-02 were rejected (100.0%)")
    with pytest.raises(Exception, match="9 of 9 events of 2024-03-02 were rejected"):
        deployment.build(days[:2])
