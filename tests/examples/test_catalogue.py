"""A parsed catalogue holds the last usable record of each item, by item id."""

import random

from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items import catalogue
from twotower_tf.examples.items.catalogue import ParsedCatalogue, parse_catalogue


def parsed_of(deployment, *files: list) -> ParsedCatalogue:
    written = [deployment.write(f"{n}.jsonl", records) for n, records in enumerate(files)]
    sources = [SourceFile(str(path), "jsonl") for path in written]
    return parse_catalogue(sources, str(deployment.source), deployment.config())


def test_the_last_record_of_an_item_holds(deployment, make_item):
    # More than are turned into columns at a time, and ids whose order is not that of UTF-16.
    rng = random.Random(5)
    names = ["i%d", "é%d", "\uff00%d", "\U00010348%d"]
    records = [
        make_item(n, item_id=rng.choice(names) % rng.randrange(4000), length=n)
        for n in range(20_000)
    ]
    last = {record["item_id"]: record for record in records}
    parsed = parsed_of(deployment, records[:12_000], records[12_000:])
    assert parsed.items["item_id"].to_pylist() == sorted(last)
    lengths = [last[item_id]["length"] for item_id in sorted(last)]
    assert parsed.items["candidate/length"].to_pylist() == lengths
    assert (parsed.read, parsed.duplicates) == (20_000, 20_000 - len(last))


def test_a_log_as_the_catalogue_is_held_by_its_items(deployment, make_item, monkeypatch):
    rng = random.Random(7)
    records = [make_item(n, item_id=f"i{rng.randrange(9)}", length=n) for n in range(200)]
    records[50] = b"nonsense"
    whole = parsed_of(deployment, records)
    held = []

    def last_of_each(table):
        held.append(len(table))
        return found(table)

    found = catalogue._last_of_each
    monkeypatch.setattr(catalogue, "_last_of_each", last_of_each)
    monkeypatch.setattr(catalogue, "_ITEMS", 5)
    monkeypatch.setattr(catalogue, "_ITEMS_ADDED", 10)
    few_at_a_time = parsed_of(deployment, records)
    assert few_at_a_time.items == whole.items
    assert (few_at_a_time.read, few_at_a_time.duplicates) == (200, 190)
    assert max(held) < 30


def test_records_that_cannot_be_used_are_counted_and_told(deployment, make_item):
    records = [make_item(1), b"nonsense", make_item(2, length="long"), make_item(3)]
    parsed = parsed_of(deployment, records)
    assert parsed.items["item_id"].to_pylist() == ["i1", "i3"]
    assert (parsed.read, parsed.duplicates, len(parsed.rejected)) == (4, 0, 2)
    assert "'length' is 'long'" in parsed.rejected[1]


def test_a_catalogue_without_items_has_the_columns(deployment, make_item):
    empty = parsed_of(deployment, [])
    assert len(empty.items) == 0
    assert empty.items.schema == parsed_of(deployment, [make_item(1)]).items.schema
