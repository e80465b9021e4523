"""Logs of impressions: what is rejected, joined, held out and sampled, and what comes back."""

import csv
import dataclasses
import io
import json
import pathlib
import random
import re

import numpy as np
import pytest
import yaml

from tests.ranking_definition import IMPRESSIONS, OUTCOME
from twotower_tf import storage
from twotower_tf.config import Config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.record_batches import read_batches
from twotower_tf.datasets.splits import SourceSplit
from twotower_tf.errors import InputError
from twotower_tf.examples.building import build
from twotower_tf.examples.building.build import build_examples
from twotower_tf.examples.building.publish import Publisher
from twotower_tf.examples.impression_records import ImpressionParser
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.examples.reading.impression_columns import ImpressionColumns
from twotower_tf.examples.values import RejectedRecord

MIDNIGHT = 1_709_251_200
SECONDS_PER_DAY = 86_400
KINDS = ("rejected", "histories", "ranking", "examples")


def impression(user: int, item: int, second: int, **values) -> dict:
    """Returns an impression record, so many seconds after midnight of the first day."""
    return {"user_id": f"u{user}", "item_id": f"i{item}", "timestamp": MIDNIGHT + second, **values}


@pytest.fixture
def ranking(deployment):
    """A deployment that ranks, whose clicks are joined from the events."""
    deployment.values["source"]["impressions"] = {**IMPRESSIONS, "join_minutes": 10}
    deployment.values["ranking"] = {"time_zone": "UTC"}
    return deployment


@pytest.fixture
def telling(ranking):
    """The same, whose log tells the outcome itself."""
    columns = {**IMPRESSIONS["columns"], **OUTCOME}
    ranking.values["source"]["impressions"]["columns"] = columns
    return ranking


def write(deployment, day, shown: list, acted: list = ()) -> None:
    deployment.write(f"shown/dt={day}/log.jsonl", shown)
    deployment.write_day(day, list(acted))


def counts_of(deployment, day, name: str = "work") -> dict:
    return deployment.workdir(name).partition("ranking", day).manifest()["counts"]


def reasons_of(deployment, day) -> list[str]:
    path = deployment.workdir().partition("rejected", day).file("impressions.jsonl")
    return [json.loads(line)["reason"] for line in pathlib.Path(path).read_text().splitlines()]


@pytest.fixture
def examples_of(read_shards):
    """The function that returns the ranking examples of a day by item id."""

    def read(deployment, day, name: str = "work") -> dict[str, dict]:
        files = read_shards(deployment.workdir(name), day, "ranking")
        return {one["item_id"][0]: one for some in files.values() for one in some}

    return read


def tree(deployment, name: str, kinds=KINDS) -> dict[str, bytes]:
    root = deployment.root / name
    paths = [path for kind in kinds for path in (root / kind).rglob("*")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths if path.is_file()}


# --- records that can't be used ----------------------------------------------------------------


def test_what_is_no_impression_is_rejected_with_the_reason_and_counted(telling, days):
    bad = {
        "item_id 'i99' is not in the catalogue": impression(1, 99, 1),
        "'seconds' is -5.0; it must be a number of seconds, 0 or more": impression(
            1, 1, 2, clicked=1, seconds=-5
        ),
        "'points' is inf; it must be a finite number": impression(1, 1, 3, points=float("inf")),
        "'place' is 'top'; it must be a finite number": impression(1, 1, 4, place="top"),
        "'clicked' is 'yes'": impression(1, 1, 5, clicked="yes"),
        "'item_id' is missing": impression(1, 1, 6, item_id=None),
        "'timestamp' is 'noon'": impression(1, 1, 7, timestamp="noon"),
        "'page' is ['p']; it must be text": impression(1, 1, 8, page=["p"]),
        "ahead of its time: an impression of 2024-03-02": impression(1, 1, SECONDS_PER_DAY),
    }
    good = [impression(1, 1, 9), impression(1, 1, 9), impression(1, 2, 9, page="p", points=0.5)]
    write(telling, days[0], [*bad.values(), *good])
    counts = telling.build(days[:1], max_rejected_share=0.9)[days[0]]
    assert counts["impressions"] == len(bad) + len(good)
    assert (counts["impressions_used"], counts["impressions_duplicates"]) == (2, 1)
    assert (counts["impressions_rejected"], counts["rejected"]) == (len(bad), 0)
    for reason, part in zip(reasons_of(telling, days[0]), bad, strict=True):
        assert part in reason


def test_too_many_rejected_impressions_end_the_day(ranking, days):
    write(ranking, days[0], [impression(1, 1, 1), impression(1, 99, 1)])
    with pytest.raises(InputError, match=rf"1 of 2 impressions of {days[0]} were rejected \(50"):
        ranking.build(days[:1])
    assert ranking.workdir().days("ranking") == ranking.workdir().days("examples") == []
    assert ranking.workdir().days("rejected") == days[:1]


def test_an_impression_of_an_unknown_item_may_be_kept(ranking, days, examples_of):
    write(ranking, days[0], [impression(1, 99, 1)])
    ranking.build(days[:1], unknown_items="keep")
    made = examples_of(ranking, days[0])["i99"]
    assert made["candidate/item"] == ["i99"]
    assert made["candidate/length"] == [7.0]


def test_a_day_without_a_log_of_impressions_is_an_error_that_names_it(ranking, days, make_event):
    for day in days[:2]:
        ranking.write_day(day, [])
    ranking.write(f"shown/dt={days[0]}/log.jsonl", [])
    with pytest.raises(
        InputError, match=rf"no impressions of {days[1]}.*empty file makes an empty"
    ):
        ranking.build(days[:2])
    assert ranking.workdir().days("examples") == []
    ranking.write(f"shown/dt={days[1]}/log.jsonl", [])
    assert ranking.build(days[:2])[days[1]]["impressions"] == 0
    assert counts_of(ranking, days[1])["examples"] == 0


def test_a_file_without_a_column_is_an_error_but_for_features_which_have_defaults(
    telling, days, examples_of
):
    telling.values["source"]["impressions"]["path"] = "shown/dt={date}/*.csv"
    telling.write_day(days[0], [])
    named = dict(telling.config().source.impressions.columns).values()
    columns = [column for column in named if column != "points"]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerow({**impression(1, 1, 1), "clicked": "1", "seconds": "30.5", "place": "2"})
    path = f"shown/dt={days[0]}/log.csv"
    telling.write(path, text.getvalue().encode().splitlines())
    match = r"no column 'points' \(source\.impressions\.columns\.score"
    with pytest.raises(InputError, match=match):
        telling.build(days[:1])
    telling.values["source"]["impressions"]["columns"].pop("score")
    telling.build(days[:1])
    made = examples_of(telling, days[0])["i1"]
    assert made["query/device"] == [""]
    assert (made["clicked"], made["watched_seconds"]) == ([1.0], [30.5])
    assert made["impression/position"] == [2.0]
    assert "impression/nomination_score" not in made


ODD = [None, "", "x", 0, 1, -1, 2.5, "3", True, False, float("nan"), [], ["a"], "é", 1 << 60]


@pytest.mark.parametrize("seed", range(3))
def test_columns_are_read_as_single_records_are(telling, seed):
    rng = random.Random(seed)
    columns = ["user_id", "item_id", "timestamp", "device", *IMPRESSIONS["columns"].values()]
    columns += OUTCOME.values()
    records = []
    for number in range(300):
        one = impression(number % 7, number % 5, number, page="p", place=number, seconds=number)
        for name in rng.sample(columns, rng.randrange(3)):
            one[name] = rng.choice(ODD)
        records.append({name: value for name, value in one.items() if rng.random() < 0.98})
    path = telling.write("shown.jsonl", records)
    config = telling.config()
    parsing, parser = ImpressionColumns(config), ImpressionParser(config)
    split = SourceSplit(SourceFile(str(path), "jsonl"))
    (batch,) = read_batches(split, parsing.needed)
    table, reasons = parsing.parse(batch)
    expected, refused = [], []
    for row, record in enumerate(records):
        try:
            one = dataclasses.asdict(parser.parse(record))
        except RejectedRecord as error:
            refused.append((row, str(error)))
            continue
        values = {f"event/{name}": value for name, value in one.pop("values").items()}
        logged = {f"impression/{name}": value for name, value in one.pop("logged").items()}
        expected.append({"row": row, **one, **values, **logged})
    assert table.to_pylist() == [
        {name: one[name] for name in table.column_names} for one in expected
    ]
    assert sorted(reasons) == refused
    assert 50 < len(expected) < 290


def test_the_example_in_the_documentation_builds_ranking_examples(
    deployment, days, make_event, examples_of
):
    page = pathlib.Path(__file__).resolve().parents[2] / "docs" / "data.md"
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = [block for block in blocks if "impressions:" in block]
    shown, record = yaml.safe_load(block), json.loads(re.search(r"# (\{.*\})", block)[1])
    deployment.values["source"].update(shown["source"])
    deployment.values["ranking"] = shown["ranking"]
    deployment.write_day(days[0], [])
    record.update(timestamp=MIDNIGHT, item_id="i1")
    deployment.write(f"impressions/dt={days[0]}/a.jsonl", [record])
    deployment.build(days[:1])
    made = examples_of(deployment, days[0])["i1"]
    assert (made["impression/position"], made["impression/hour"]) == ([2.0], ["1"])


# --- outcomes ----------------------------------------------------------------------------------


def test_a_click_is_the_first_event_on_the_last_impression_not_after_it(
    ranking, days, make_event, examples_of
):
    shown = [impression(1, item, second) for item, second in ((0, 100), (1, 100), (2, 100))]
    shown += [impression(1, 3, 100), impression(2, 4, 100), impression(1, 5, SECONDS_PER_DAY - 9)]
    acted = [
        # Before its impression, of another user, too late.
        make_event(1, 0, 99),
        make_event(2, 1, 101),
        make_event(1, 2, 701),
        # Two of one impression; at the second itself.
        make_event(1, 3, 700, watched=20),
        make_event(1, 3, 400, watched=50),
        make_event(2, 4, 100, watched=30),
    ]
    write(ranking, days[0], shown, acted)
    # On the next day, by when it is history.
    write(ranking, days[1], [], [make_event(1, 5, SECONDS_PER_DAY + 9)])
    ranking.build(days[:2])
    made = examples_of(ranking, days[0])
    watched = {item: one["watched_seconds"][0] for item, one in made.items() if one["clicked"][0]}
    assert watched == {"i3": 50.0, "i4": 30.0}
    assert counts_of(ranking, days[0])["clicked"] == 2


def test_whether_a_click_was_known_is_told_as_of_each_impression(
    ranking, days, make_event, examples_of
):
    shown = [impression(1, 0, 100), impression(1, 1, 200), impression(1, 2, 301)]
    write(ranking, days[0], shown, [make_event(1, 0, 300)])
    write(ranking, days[1], [impression(1, 3, SECONDS_PER_DAY)])
    ranking.build(days[:2])
    made = {**examples_of(ranking, days[0]), **examples_of(ranking, days[1])}
    assert [made[f"i{item}"]["impression/shown_clicked"] for item in range(4)] == [
        [],
        [0.0],
        [1.0, 0.0],
        [1.0, 0.0, 0.0],
    ]


@pytest.mark.parametrize(
    ("overlong", "watched", "corrected"),
    [("cap", [101.0, 102.0, 0.0], 2), ("keep", [500.0, 102.0, 0.0], 1)],
)
def test_who_watches_for_longer_than_an_item_lasts_is_believed_as_configured(
    ranking, days, make_event, examples_of, overlong, watched, corrected
):
    ranking.values["ranking"]["overlong"] = overlong
    told = (500, 102, -3)
    shown = [impression(1, item, 10) for item in (1, 2, 3)]
    acted = [make_event(1, item, 10, watched=n) for item, n in zip((1, 2, 3), told, strict=True)]
    write(ranking, days[0], shown, acted)
    ranking.build(days[:1])
    made = examples_of(ranking, days[0])
    assert [made[f"i{item}"]["watched_seconds"][0] for item in (1, 2, 3)] == watched
    assert [made[f"i{item}"]["clicked"] for item in (1, 2, 3)] == [[1.0]] * 3
    assert counts_of(ranking, days[0])["watched_corrected"] == corrected


def test_who_watches_for_longer_than_an_item_lasts_may_be_rejected(telling, days, examples_of):
    telling.values["ranking"]["overlong"] = "reject"
    told = {1: 101, 2: 102.5}
    write(telling, days[0], [impression(1, n, 10, clicked=1, seconds=s) for n, s in told.items()])
    counts = telling.build(days[:1], max_rejected_share=0.5)[days[0]]
    assert counts["impressions_rejected"] == 1
    (reason,) = reasons_of(telling, days[0])
    assert "'seconds' is 102.5, longer than its item lasts, 102 (ranking.overlong" in reason
    assert examples_of(telling, days[0])["i1"]["watched_seconds"] == [101.0]


def test_rejecting_what_is_watched_for_long_needs_to_know_it(ranking):
    ranking.values["ranking"]["overlong"] = "reject"
    with pytest.raises(ValueError, match=r"overlong: reject needs source\.impressions\.columns"):
        Config.model_validate(ranking.values)


def test_what_is_watched_without_a_click_counts_as_nothing(telling, days, examples_of):
    shown = [impression(1, 1, 10, clicked=0, seconds=9), impression(1, 2, 10, clicked=1)]
    write(telling, days[0], shown)
    telling.build(days[:1])
    made = examples_of(telling, days[0])
    outcome = {item: (one["clicked"], one["watched_seconds"]) for item, one in made.items()}
    assert outcome == {"i1": ([0.0], [0.0]), "i2": ([1.0], [0.0])}


# --- pages, held out and sampled ---------------------------------------------------------------


def test_a_page_id_that_is_used_again_is_another_page(ranking, days, examples_of):
    shown = [impression(1, item, 10 + item, page="p") for item in range(3)]
    # By another user; after an hour of nothing; after less.
    shown += [impression(2, 3, 10, page="p"), impression(1, 4, 9000, page="p")]
    shown += [impression(1, 5, 12_000, page="p")]
    write(ranking, days[0], shown)
    ranking.build(days[:1])
    pages = {item: one["page"][0] for item, one in examples_of(ranking, days[0]).items()}
    assert pages["i0"] == pages["i1"] == pages["i2"]
    assert pages["i4"] == pages["i5"]
    assert len({pages["i0"], pages["i3"], pages["i4"]}) == 3
    counts = counts_of(ranking, days[0])
    assert (counts["pages"], counts["pages_again"]) == (3, 1)


def many(rng, users: int = 40, pages: int = 6) -> list[dict]:
    # With all columns: a day of which no record has one is refused.
    nothing = dict.fromkeys([*IMPRESSIONS["columns"].values(), *OUTCOME.values()])
    return [
        nothing
        | impression(
            user, item, page * 7200 + user, page=f"p{page}", clicked=rng.random() < 0.2, seconds=9
        )
        for user in range(users)
        for page in range(pages)
        for item in range(6)
    ]


def test_pages_are_held_out_whole_and_negatives_sampled_from_the_others_alone(
    telling, days, read_shards
):
    write(telling, days[0], many(np.random.default_rng(1)))
    telling.build(days[:1], "whole")
    telling.values["ranking"]["negatives_per_positive"] = 1.5
    telling.build(days[:1], "sampled")

    def examples(name: str, split: str) -> list[dict]:
        files = read_shards(telling.workdir(name), days[0], "ranking")
        of_split = [some for file, some in files.items() if file.startswith(split)]
        return [one for some in of_split for one in some]

    assert examples("whole", "eval") == examples("sampled", "eval")
    held_out = {one["page"][0] for one in examples("whole", "eval")}
    assert not held_out & {one["page"][0] for one in examples("whole", "train")}
    assert len(examples("whole", "eval")) == 6 * len(held_out)
    assert 0.2 < len(held_out) / (40 * 6) < 0.4
    train = {True: [], False: []}
    for one in examples("sampled", "train"):
        train[one["clicked"] == [1.0]].append(one)
    whole = examples("whole", "train")
    assert {one["weight"][0] for one in train[True]} == {1.0}
    assert len(train[True]) == sum(one["clicked"][0] for one in whole)
    assert len(train[False]) == pytest.approx(1.5 * len(train[True]), abs=2)
    weights = sum(one["weight"][0] for one in train[False])
    assert weights == pytest.approx(len(whole) - len(train[True]), rel=1e-5)
    counts = counts_of(telling, days[0], "sampled")
    assert counts["left_out"] == len(whole) - len(train[True]) - len(train[False])


# --- the whole build ---------------------------------------------------------------------------


@pytest.fixture
def filled(telling, days, make_event):
    """A deployment with both logs of two days."""
    rng = np.random.default_rng(3)
    for number, day in enumerate(days[:2]):
        start = number * SECONDS_PER_DAY
        shown = [{**one, "timestamp": one["timestamp"] + start} for one in many(rng, 8, 3)]
        acted = [make_event(n % 8, n % 6, start + 900 * n) for n in range(50)]
        write(telling, day, shown, acted)
    return telling


def test_beam_makes_the_same_bytes_as_this_process(filled, days):
    here = filled.build(days[:2], "here")
    config, source = filled.config(), str(filled.source)
    workdir = filled.workdir("beam")
    beam = build_examples(config, workdir, source, days[:2], ["--runner=DirectRunner"])
    assert beam == here
    assert tree(filled, "beam") == tree(filled, "here")


def test_the_examples_of_events_are_the_same_bytes_with_and_without_ranking(filled, days):
    filled.build(days[:2], "with")
    del filled.values["ranking"], filled.values["source"]["impressions"]
    filled.build(days[:2], "without")
    with_, without = (
        {path: data for path, data in tree(filled, name, ("examples",)).items() if "gz" in path}
        for name in ("with", "without")
    )
    assert with_ == without
    assert filled.workdir("without").days("ranking") == []


def test_a_build_that_dies_between_ranking_and_examples_goes_on(filled, days, monkeypatch):
    filled.build(days[:2], "expected")

    def die(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Publisher, "_publish_examples", die)
        with pytest.raises(KeyboardInterrupt):
            filled.build(days[:2], "killed")
    assert filled.workdir("killed").days("ranking") == days[:1]
    assert filled.workdir("killed").days("examples") == []
    filled.build(days[:2], "killed")
    assert tree(filled, "killed") == tree(filled, "expected")
    assert build.PUBLISHED[-2:] == (storage.RANKING, storage.EXAMPLES)


def test_the_reader_gives_all_in_batches(filled, days, read_shards):
    filled.build(days[:2])
    reader = ExampleReader(filled.config(), storage.RANKING)
    partition = filled.workdir().partition(storage.RANKING, days[1])
    files = read_shards(filled.workdir(), days[1], "ranking")
    for split in ("train", "eval"):
        written = [one for name, some in files.items() if name.startswith(split) for one in some]
        batches = list(reader.read(partition, split, 16))
        assert sum(len(batch["page"]) for batch in batches) == len(written)
        expected = sorted((one["page"][0], one["item_id"][0], one["weight"][0]) for one in written)
        assert expected == sorted(
            (int(page), item.decode(), float(weight))
            for batch in batches
            for page, item, weight in zip(
                *(batch[name].numpy() for name in ("page", "item_id", "weight")), strict=True
            )
        )
    batch = batches[0]
    assert set(batch) == {
        *("query", "candidate", "impression", "user_id", "item_id", "seed_item_id", "timestamp"),
        *("page", "clicked", "watched_seconds", "weight"),
    }
    shown = batch["impression"]
    lengths = [shown[name].row_lengths().numpy().tolist() for name in shown if "shown" in name]
    assert lengths[0] == lengths[1] == lengths[2]
    past = batch["query"]["history"].row_lengths().numpy().tolist()
    assert shown["history_days"].row_lengths().numpy().tolist() == past
    assert shown["history_dwell"].row_lengths().numpy().tolist() == past
    partitions = [filled.workdir().partition(storage.RANKING, day) for day in days[:2]]
    shuffled, count = reader.read_shuffled(partitions, 16, (1,))
    total = sum(counts_of(filled, day)["examples"] for day in days[:2])
    assert count == total == sum(len(one["page"]) for one in shuffled)
