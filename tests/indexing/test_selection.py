"""Candidate selection: every rule and their combinations against plain Python."""

import datetime
import os
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.example_counts import write_counts
from twotower_tf.config import Config
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import latest_catalogue
from twotower_tf.indexing.candidates.selection import coverage, select_candidates
from twotower_tf.storage import Workdir

DAY = datetime.date(2026, 11, 20)
END = 1_795_219_200  # 2026-11-21T00:00:00Z
HOUR, A_DAY = 3600, 86_400
IDS = [f"é{number}" for number in range(12)]
# How many training examples items have, by how many days ago.
EXAMPLES = {
    0: ["é0", "é0", "é1", "é2", "gone"],
    1: ["é0", "é3", "é3", "é4"],
    4: ["é5"] * 3 + ["é1"],
    9: ["é6"] * 5,
}
SCHEMA = pa.schema(
    {
        "item_id": pa.string(),
        "published_at": pa.int64(),
        "candidate/title": pa.string(),
        "candidate/topics": pa.list_(pa.string()),
        "candidate/age": pa.int64(),
        "candidate/channel": pa.string(),
    }
)


def _config(**selection) -> Config:
    return Config.model_validate(
        {
            "name": "shop",
            "source": {
                "events": {"path": "e.csv"},
                "items": {"path": "i.csv", "columns": {"published_at": "published_at"}},
            },
            "tables": {"t": {"buckets": 10, "dim": 2}},
            "query": {"features": [{"name": "seed", "kind": "id", "table": "t"}], "layers": [2]},
            "candidate": {
                "features": [
                    {"name": "title", "kind": "text", "table": "t"},
                    {"name": "topics", "kind": "id_bag", "table": "t"},
                    {"name": "price", "kind": "dense"},
                    {"name": "age", "kind": "age", "since": "listed"},
                    {"name": "channel", "kind": "id", "table": "t"},
                ],
                "layers": [2],
            },
            "selection": selection,
        }
    )


def _write_examples(workdir: Workdir, day: datetime.date, item_ids: list[str]) -> None:
    with workdir.partition("examples", day).write({}):
        pass
    write_counts(workdir, day, [""] * len(item_ids), item_ids)


def _select(config: Config, workdir: Workdir):
    return select_candidates(config, Counts(workdir), DAY, latest_catalogue(workdir, DAY))


def _write_catalogue(workdir: Workdir, rows: list[dict]) -> None:
    """Writes rows in two files, the first of which has row groups of three."""
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
    files = [f"{number}.parquet" for number in range(2)]
    manifest = {"shards": [{"file": file} for file in files]}
    with workdir.partition("catalogue", DAY).write(manifest) as folder:
        for file, half in zip(files, halves, strict=True):
            table = pa.Table.from_pylist(half, schema=SCHEMA)
            pq.write_table(table, os.path.join(folder, file), row_group_size=3)


def _row(item_id, published_at=END - 30 * A_DAY, title="t", topics=("x",), age=1, channel="c"):
    values = [item_id, published_at, title, list(topics), age, channel]
    return dict(zip(SCHEMA.names, values, strict=True))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    made = Workdir(str(tmp_path_factory.mktemp("work")))
    for back, item_ids in EXAMPLES.items():
        _write_examples(made, DAY - datetime.timedelta(days=back), item_ids)
    return made


# --- the reference ----------------------------------------------------------------------------


def _counts(days: int) -> Counter:
    return Counter(one for back, item_ids in EXAMPLES.items() if back < days for one in item_ids)


def _expected(rows: list[dict], rules, listed: dict[str, set]) -> tuple[list[int], list, int]:
    """Returns the positions chosen, what each rule left out, and how many always_hours saved."""
    left_out, saved = [], set()
    kept = list(range(len(rows)))
    counts = _counts(rules.engagement_days)

    def published(row):
        return rows[row]["published_at"]

    def recent(row):
        age = None if published(row) is None else END - published(row)
        return bool(rules.always_hours) and age is not None and age <= rules.always_hours * HOUR

    def apply(rule, fits, spare=False):
        nonlocal kept
        if spare:
            saved.update(row for row in kept if recent(row) and not fits(row))
        stay = [row for row in kept if fits(row) or (spare and recent(row))]
        left_out.append({"rule": rule, "items": len(kept) - len(stay)})
        kept = stay

    def item(row):
        return rows[row]["item_id"]

    apply("duplicate_ids", lambda row: all(item(row) != one["item_id"] for one in rows[row + 1 :]))
    apply("not_yet_published", lambda row: published(row) is None or published(row) < END)
    if rules.deny:
        apply("deny", lambda row: item(row) not in listed["deny"])
    if rules.allow:
        apply("allow", lambda row: item(row) in listed["allow"])
    if rules.unknown_age == "drop":
        apply("unknown_age", lambda row: published(row) is not None)
    days = [None if one["published_at"] is None else (END - one["published_at"]) / A_DAY
            for one in rows]  # fmt: skip
    if rules.min_age_days:
        apply("min_age_days", lambda row: days[row] is None or days[row] >= rules.min_age_days)
    if rules.max_age_days is not None:
        apply("max_age_days", lambda row: days[row] is None or days[row] <= rules.max_age_days)
    for name in rules.required:
        column = [one[f"candidate/{name}"] not in (None, "", []) for one in rows]
        apply(f"required: {name}", column.__getitem__)
    if rules.min_examples:
        apply("min_examples", lambda row: counts[item(row)] >= rules.min_examples, spare=True)
    if rules.max_per_channel:
        stay = set()
        for channel in {rows[row]["candidate/channel"] for row in kept}:
            members = [row for row in kept if rows[row]["candidate/channel"] == channel]

            def place(row):
                newest = 10**12 if published(row) is None else END - published(row)
                engaged = -counts[item(row)]
                by = (newest, engaged) if rules.channel_keeps == "newest" else (engaged, newest)
                return (not recent(row), *by, row)

            members.sort(key=place)
            stay |= set(members if channel in (None, "") else members[: rules.max_per_channel])
        apply("max_per_channel", lambda row: row in stay, spare=True)
    return kept, left_out, len(saved & set(kept))


def _check(workdir, rows, selection, folder, listed) -> None:
    for key, ids in listed.items():
        (folder / key).write_text("".join(f"{one}\r\n" for one in sorted(ids)) + "\n", "utf-8")
        selection = selection | {key: str(folder / key)}
    config = _config(**selection)
    _write_catalogue(workdir, rows)
    chosen, left_out, always = _expected(rows, config.selection, listed)
    if not chosen:
        with pytest.raises(JobError, match="there is nothing to recommend"):
            _select(config, workdir)
        return
    selected = _select(config, workdir)
    assert selected.rows.tolist() == chosen
    assert selected.report == {
        "rows": len(rows),
        "left_out": left_out,
        "always": always,
        "selected": len(chosen),
    }


PUBLISHED = st.one_of(
    st.none(),
    st.sampled_from([0, END - 1, END, END - 6 * HOUR, END - 2 * A_DAY, END - 10 * A_DAY]),
    st.integers(END - 12 * A_DAY, END + A_DAY),
)
ROWS = st.lists(
    st.builds(
        _row,
        item_id=st.sampled_from(IDS),
        published_at=PUBLISHED,
        title=st.sampled_from(["", "t", None]),
        topics=st.sampled_from([(), ("x",), ("", "y")]),
        age=st.sampled_from([None, 0]),
        channel=st.sampled_from(["", "c", "ü", "d", None]),
    ),
    max_size=30,
)
SOME_IDS = st.sets(st.sampled_from([*IDS, "not there"]))


@st.composite
def _selections(draw) -> dict:
    """Draws a section; each rule is on in about half of them."""
    drawn = {
        "unknown_age": st.sampled_from(["keep", "drop"]),
        "min_age_days": st.sampled_from([0.1, 1]),
        "max_age_days": st.sampled_from([2, 10, 11.5]),
        "required": st.lists(st.sampled_from(["title", "topics", "age"]), unique=True),
        "min_examples": st.integers(1, 4),
        "engagement_days": st.sampled_from([1, 2, 7, 10]),
        "always_hours": st.sampled_from([6, 30.5, 100]),
        "channel_keeps": st.sampled_from(["newest", "most_engaged"]),
        "max_per_channel": st.integers(1, 3),
    }
    made = {key: draw(values) for key, values in drawn.items() if draw(st.booleans())}
    if "max_per_channel" in made:
        made["channel"] = "channel"
    if made.get("always_hours", 100) <= 24 * made.get("min_age_days", 0):
        del made["min_age_days"]
    return made


@settings(max_examples=80)
@given(data=st.data(), rows=ROWS, selection=_selections())
def test_any_rules_choose_what_plain_python_chooses(
    workdir, tmp_path_factory, data, rows, selection
):
    listed = {key: data.draw(SOME_IDS) for key in ("deny", "allow") if data.draw(st.booleans())}
    folder = tmp_path_factory.getbasetemp()
    _check(workdir, rows, selection, folder, listed)


# --- each rule alone, by hand -----------------------------------------------------------------


def _chosen(workdir, rows, **selection) -> list[str]:
    _write_catalogue(workdir, rows)
    selected = _select(_config(**selection), workdir)
    return [rows[row]["item_id"] for row in selected.rows]


def test_ages_are_those_at_the_end_of_the_day_and_both_limits_are_inside(workdir):
    seconds = [0, 1, A_DAY - 1, A_DAY, 3 * A_DAY, 3 * A_DAY + 1]
    rows = [_row(f"{age}", END - age) for age in seconds] + [_row("unknown", None)]
    assert _chosen(workdir, rows, min_age_days=1, max_age_days=3) == (
        [f"{A_DAY}", f"{3 * A_DAY}", "unknown"]
    )
    assert _chosen(workdir, rows, max_age_days=1, unknown_age="drop") == (
        ["1", f"{A_DAY - 1}", f"{A_DAY}"]
    )


def test_only_training_examples_within_the_window_are_engagement(workdir):
    rows = [_row(one) for one in IDS]
    assert _chosen(workdir, rows, min_examples=2) == ["é0", "é1", "é3", "é5"]
    assert _chosen(workdir, rows, min_examples=2, engagement_days=2) == ["é0", "é3"]
    assert _chosen(workdir, rows, min_examples=4, engagement_days=10) == ["é6"]


def test_a_channel_keeps_its_most_engaged_or_its_newest(workdir):
    rows = [_row("é0", END - 50), _row("é3", END - 40), _row("x", END - 30), _row("é4", END - 20)]
    per_channel = {"channel": "channel", "max_per_channel": 2}
    assert _chosen(workdir, rows, **per_channel) == ["é0", "é3"]
    assert _chosen(workdir, rows, **per_channel, channel_keeps="newest") == ["x", "é4"]


def test_items_without_a_channel_are_in_none(workdir):
    rows = [_row(f"{number}", channel=["", None, "c"][number % 3]) for number in range(9)]
    assert _chosen(workdir, rows, channel="channel", max_per_channel=1) == (
        ["0", "1", "2", "3", "4", "6", "7"]
    )


def test_recent_uploads_beat_engagement_and_channels_and_take_places_but_beat_no_list(
    workdir, tmp_path
):
    times = [END - HOUR, END - HOUR - 1, END - 2 * HOUR]
    rows = [_row("é0"), _row("é3"), *[_row(f"new {n}", time) for n, time in enumerate(times)]]
    rows.append(_row("a second too old", END - 2 * HOUR - 1))
    rules = {"channel": "channel", "max_per_channel": 2, "min_examples": 2}
    assert _chosen(workdir, rows, **rules) == ["é0", "é3"]
    assert _chosen(workdir, rows, **rules, always_hours=2) == ["new 0", "new 1", "new 2"]
    rules["max_per_channel"] = 4
    assert _chosen(workdir, rows, **rules, always_hours=2) == ["é0", "new 0", "new 1", "new 2"]
    denied = tmp_path / "deny.txt"
    denied.write_text("new 1\nnew 2\n")
    assert _chosen(workdir, rows, **rules, always_hours=2, deny=str(denied)) == (
        ["é0", "é3", "new 0"]
    )
    titled = [row | {"candidate/title": ""} if "1" in row["item_id"] else row for row in rows]
    assert "new 1" not in _chosen(workdir, titled, **rules, always_hours=2, required=["title"])


def test_when_nothing_is_left_the_error_says_what_took_it(workdir, tmp_path):
    allowed = tmp_path / "allow.txt"
    allowed.write_text("")
    with pytest.raises(JobError) as error:
        _chosen(workdir, [_row("a"), _row("b", END)], allow=str(allowed))
    assert str(error.value) == (
        "selection of 2026-11-20: 2 rows in the catalogue; left out 1 by not_yet_published, "
        "1 by allow; 0 items selected: there is nothing to recommend"
    )


def test_a_list_that_can_not_be_read_is_refused_and_never_passed_over(workdir, tmp_path):
    with pytest.raises(InputError, match=r"selection.deny: .*gone.txt can't be read"):
        _chosen(workdir, [_row("a")], deny=str(tmp_path / "gone.txt"))
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    with pytest.raises(InputError, match=r"selection.deny: .*latin can't be read"):
        _chosen(workdir, [_row("a")], deny=str(tmp_path / "latin"))


def test_a_list_with_a_byte_order_mark_matches_and_unknown_ids_are_counted(
    workdir, tmp_path, caplog
):
    denied = tmp_path / "deny.txt"
    denied.write_text("a\nno such\nb\n", encoding="utf-8-sig")
    assert _chosen(workdir, [_row("a"), _row("b"), _row("c")], deny=str(denied)) == ["c"]
    assert f"selection.deny: {denied}: 1 of 3 ids are unknown, the first 'no such'" in caplog.text


# --- coverage ---------------------------------------------------------------------------------


def test_coverage_is_the_share_of_examples_not_of_items(workdir):
    counts = _counts(7)
    for item_ids in (["é0"], ["é0", "é1", "never seen"], [*IDS, "gone"], []):
        covered = coverage(Counts(workdir).items_until(DAY, 7), np.array(item_ids, object))
        assert covered == sum(counts[one] for one in item_ids) / counts.total()


def test_without_examples_coverage_is_not_known(tmp_path):
    assert (
        coverage(Counts(Workdir(str(tmp_path))).items_until(DAY, 7), np.array(["a"], object))
        is None
    )
