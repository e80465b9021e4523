"""Columns of files that have no header: whether they are there, and how often."""

import json
import logging as python_logging

import pytest

from tests.event_definition import DAY, T, make_config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.errors import InputError
from twotower_tf.examples.building.snapshots import _stage_catalogue, _stage_profiles
from twotower_tf.examples.source_columns import ColumnsSeen, check_columns, required_columns


@pytest.fixture
def seen_warnings(caplog):
    """The text of what was warned of."""
    with caplog.at_level(python_logging.WARNING, logger="absl"):
        yield caplog


def rename(record: dict, **names) -> dict:
    return {names.get(name, name): value for name, value in record.items()}


def test_a_column_that_no_event_of_the_day_has_ends_the_build_with_the_nearest(
    deployment, make_event, days
):
    events = [make_event(n % 5, n % 6, n, seed="i1", devcie="tv") for n in range(40)]
    for event in events:
        del event["device"]
    deployment.write_day(days[0], events)
    with pytest.raises(InputError) as caught:
        deployment.build(days[:1])
    assert str(caught.value) == (
        "not one of the 40 events of 2024-03-01 has a column 'device' "
        "(source.events.columns.event_type); did you mean 'devcie'?; they have devcie, item_id, "
        "seed, timestamp, user_id, watched; if they may lack it, name it in source.events.optional"
    )
    assert not any(deployment.published()[kind] for kind in ("examples", "catalogue", "histories"))
    del deployment.values["source"]["events"]["columns"]["event_type"]
    deployment.values["query"]["features"][2]["encoder"].pop("types")
    for feature in deployment.values["query"]["features"]:
        if feature["name"] == "device":
            feature["required"] = False
    counts = deployment.build(days[:1], "optional")[days[0]]
    assert counts["events"] == 40
    assert not counts["rejected"]


def test_a_column_that_hardly_any_event_has_is_warned_of(
    deployment, make_event, days, seen_warnings
):
    events = [make_event(n % 5, n % 6, n, device="tv") for n in range(150)]
    for event in events:
        del event["seed"]
    events[7]["seed"] = "i1"
    deployment.write_day(days[0], events)
    deployment.build(days[:1])
    assert [one.getMessage() for one in seen_warnings.records if "seed" in one.getMessage()] == [
        "only 1 of the 150 events of 2024-03-01 (0.67%) have a column 'seed' "
        "(source.events.columns.seed_item_id)"
    ]


@pytest.mark.parametrize(
    ("stage", "file", "renamed", "words"),
    [
        (_stage_catalogue, "items", "tgas", "items of 2024-03-01 has a column 'tags' (candidate."),
        (_stage_profiles, "users", "cuontry", "user profiles of 2024-03-01 has a column 'country'"),
    ],
)
def test_catalogues_and_profiles_are_checked_too(deployment, days, stage, file, renamed, words):
    deployment.write_usual(items=30, users=30)
    path = deployment.source / f"{file}.jsonl"
    true_name = {"items": "tags", "users": "country"}[file]
    path.write_text(path.read_text().replace(f'"{true_name}"', f'"{renamed}"'))
    found = [SourceFile(str(path), "jsonl")]
    with pytest.raises(InputError) as caught:
        stage(deployment.config(), days[0], found, str(deployment.source), str(deployment.root))
    assert words in str(caught.value)
    assert f"did you mean '{renamed}'?" in str(caught.value)


def test_columns_that_are_mapped_may_be_optional_but_for_ids_and_times():
    config = make_config({"optional": ["seed"]})
    assert "seed" not in required_columns(config, "events")
    assert "path" in required_columns(config, "events")
    for column in ("user_id", "sead"):
        with pytest.raises(ValueError, match=rf"'{column}' is none of .*\(seed, path\)"):
            make_config({"optional": [column]})


def test_few_records_may_lack_a_column_by_chance():
    seen = ColumnsSeen()
    config = make_config()
    columns = required_columns(config, "events")
    for _ in range(19):
        seen.add({"user_id": "u", "item_id": "i", "timestamp": T}, columns)
    seen.check("events", config, "events")
    seen.add({"user_id": "u"}, columns)
    with pytest.raises(InputError, match="not one of the 20 events has a column 'seed'"):
        seen.check("events", config, "events")


def test_a_header_may_lack_what_is_not_required_and_must_name_what_is_nested(tmp_path):
    query = [
        {"name": "brand", "column": "details.brand", "kind": "category"},
        {"name": "new", "kind": "dense", "required": False},
    ]
    config = make_config({"columns": {}}, {"reward": None}, query)
    path = tmp_path / "x.csv"
    path.write_text("user_id,item_id,timestamp,details.brand\n")
    check_columns(SourceFile(str(path), "csv", DAY), config, "events")
    path.write_text("user_id,item_id,timestamp,details.brnd\n")
    said = r"did you mean 'details\.brnd'.*; if they may lack it, say required: false"
    with pytest.raises(InputError, match=said):
        check_columns(SourceFile(str(path), "csv", DAY), config, "events")
    assert json.dumps(sorted(required_columns(config, "events"))) == (
        '["details.brand", "item_id", "timestamp", "user_id"]'
    )


def test_a_column_of_times_that_no_event_has_is_told_with_the_nearest(deployment, make_event, days):
    deployment.in_one_file()
    deployment.values["source"]["events"]["columns"]["timestamp"] = "timestmp"
    deployment.write("events.jsonl", [make_event(1, 1, n) for n in range(3)])
    with pytest.raises(InputError, match=r"'timestmp' is missing.*did you mean 'timestamp'"):
        deployment.build(days[:1])
