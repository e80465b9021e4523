"""What a day costs, and that it makes no difference how many days are built at once."""

import datetime
import functools
import random
import statistics

import pytest

from twotower_tf.errors import InputError
from twotower_tf.examples.building import planning
from twotower_tf.examples.items import catalogue, item_lookup
from twotower_tf.examples.source_columns import check_columns
from twotower_tf.examples.users import profiles
from twotower_tf.storage import read_json

SECONDS_PER_DAY = 86_400
DAYS = 60
POPULATION, ACTIVE = 1500, 50


def write_stationary_log(deployment, make_event, days: list[datetime.date]) -> None:
    """Writes days of as many active users each, of a population that all was there on the first."""
    rng = random.Random(7)
    for number, day in enumerate(days):
        users = rng.sample(range(POPULATION), ACTIVE) if number else range(POPULATION)
        start = number * SECONDS_PER_DAY
        deployment.write_day(
            day,
            [
                make_event(user, rng.randrange(6), start + rng.randrange(SECONDS_PER_DAY))
                for user in users
                for _ in range(2)
            ],
        )


@pytest.mark.long
def test_a_day_costs_a_day_however_many_came_before(deployment, make_event, days, without_beam):
    days = [days[0] + datetime.timedelta(days=n) for n in range(DAYS)]
    write_stationary_log(deployment, make_event, days)
    section = {"shards": 4, "full_histories_every_days": 10}
    with without_beam():
        for day in days:
            deployment.build([day], **section)
    workdir = deployment.workdir()
    metrics = [read_json(workdir.metrics_path("build_examples", day)) for day in days[1:]]
    assert {one["events"] for one in metrics} == {2 * ACTIVE}
    for name in ("history_rows_read", "history_rows_written"):
        # Cycles of full files that shards write in turns; the first still has few deltas to read.
        second, last = (
            [one[name] for one in metrics[start : start + 10]] for start in (10, DAYS - 11)
        )
        assert statistics.mean(last) == pytest.approx(statistics.mean(second), rel=0.1)
    # What is written are the active, and in ten days everybody once.
    written = sum(one["history_rows_written"] for one in metrics[-10:])
    assert written == pytest.approx(POPULATION + 10 * ACTIVE, rel=0.05)
    # In one go, by Beam.
    deployment.build(days, "together", **section)
    assert deployment.files("together") == deployment.files()


def test_late_events_make_the_same_bytes_one_by_one_and_in_one_go(deployment, make_event, days):
    rng = random.Random(3)
    for number, day in enumerate(days):
        log = [
            make_event(
                rng.randrange(4),
                rng.randrange(6),
                rng.randrange((number + 1) * SECONDS_PER_DAY),
                watched=rng.random() * 100,
                device=rng.choice(["phone", "tv", ""]),
            )
            for _ in range(60)
        ]
        deployment.write_day(day, log)
    together = deployment.build(days, "together", late_events="keep")
    for day in days:
        assert deployment.build([day], late_events="keep") == {day: together[day]}
    assert deployment.files("together") == deployment.files()
    assert sum(counts["rejected"] for counts in together.values()) == 0


def test_days_that_would_not_fit_are_built_in_portions_with_the_same_bytes(
    deployment, make_event, make_item, days, without_beam, monkeypatch
):
    deployment.values["source"]["items"]["path"] = "items/{date}.jsonl"
    for number, day in enumerate(days):
        if number != 1:
            deployment.write(
                f"items/{day}.jsonl", [make_item(n, length=100 + number) for n in range(6)]
            )
        log = [make_event(1, n % 6, number * SECONDS_PER_DAY + n) for n in range(9)]
        deployment.write_day(day, log)
    config, source = deployment.config(), str(deployment.source)
    portions = functools.partial(
        planning.portions, config, source, days, planning.find_logs(config, source, days)
    )
    assert portions() == [days]
    with without_beam():
        deployment.build(days, "together")
        with monkeypatch.context() as patch:
            patch.setattr(item_lookup, "LOOKUPS_KEPT", 2)
            assert portions() == [days[:3], days[3:]]
            patch.setattr(planning, "_ITEM_BYTES", 1)
            assert portions() == [days[:2], days[2:3], days[3:]]
            patch.setattr(planning, "_EVENT_BYTES_A_SHARD", 1)
            assert portions() == [[day] for day in days]
            deployment.build(days)
    assert deployment.files("together") == deployment.files()


def test_each_log_file_is_looked_at_once_however_many_portions_there_are(
    deployment, make_event, days, without_beam, monkeypatch
):
    for number, day in enumerate(days):
        deployment.write_day(day, [make_event(1, 1, number * SECONDS_PER_DAY)])
    looked_at = []

    def check(file, config, what):
        looked_at.append((what, file.day))
        check_columns(file, config, what)

    monkeypatch.setattr(planning, "check_columns", check)
    monkeypatch.setattr(planning, "_EVENT_BYTES_A_SHARD", 1)
    with without_beam():
        deployment.build(days)
    assert looked_at == [("events", day) for day in days]


@pytest.mark.parametrize(
    ("path", "module", "parse"),
    [
        ("items.jsonl", catalogue, "parse_catalogue"),
        ("users.jsonl", profiles, "stage_profiles"),
    ],
)
def test_a_snapshot_is_parsed_again_only_when_its_files_change(
    deployment, make_event, make_item, days, without_beam, monkeypatch, path, module, parse
):
    deployment.in_one_file()
    deployment.write("events.jsonl", [make_event(1, 1, n * SECONDS_PER_DAY) for n in range(4)])

    def refuse(*_):
        raise InputError("parsed again")

    with without_beam():
        deployment.build(days[:1])
        with monkeypatch.context() as patch:
            patch.setattr(module, parse, refuse)
            deployment.build(days[1:2])
            # Of the same size.
            text = (deployment.source / path).read_text().replace("u1", "u8").replace("101", "191")
            (deployment.source / path).write_text(text)
            with pytest.raises(InputError, match="parsed again"):
                deployment.build(days[2:3])
        deployment.build(days[2:3])
    assert deployment.workdir().days(module.KIND) == [days[0], days[2]]
