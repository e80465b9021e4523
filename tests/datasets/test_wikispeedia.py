"""Click paths as events, articles as items."""

import collections
import datetime
import pathlib
from urllib.parse import unquote

import pytest

from twotower_tf.datasets.files import SourceFile
from twotower_tf.datasets.formats import column_names, read_records
from twotower_tf.datasets.lines import Unreadable
from twotower_tf.datasets.wikispeedia import read_articles, read_paths
from twotower_tf.errors import InputError

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data" / "wikispeedia"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"Wikispeedia's files are missing: there is no {DATA}"
)


def events_of(tmp_path, path, duration=100, end="restart", timestamp=1_300_000_000):
    file = tmp_path / "paths_unfinished.tsv"
    file.write_text(f"# a comment\n\nplayer\t{timestamp}\t{duration}\t{path}\tGoal_x\t{end}\n")
    records = list(read_paths(str(file)))
    assert {at for at, _ in records} <= {3}
    return [record for _, record in records]


def steps(events):
    return [(e["seed_item_id"], e["item_id"], e["history"]) for e in events]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("A", []),
        ("A;B;C", [("A", "B", []), ("B", "C", ["A"])]),
        ("A;B;<;C", [("A", "B", []), ("A", "C", ["A", "B"])]),
        (
            "A;B;C;<;<;D;E",
            [
                ("A", "B", []),
                ("B", "C", ["A"]),
                ("A", "D", ["A", "B", "C", "B"]),
                ("D", "E", ["A", "B", "C", "B", "A"]),
            ],
        ),
        (
            "A;B;<;C;D;<;E",
            [
                ("A", "B", []),
                ("A", "C", ["A", "B"]),
                ("C", "D", ["A", "B", "A"]),
                ("C", "E", ["A", "B", "A", "C", "D"]),
            ],
        ),
        ("A;B;<", [("A", "B", [])]),
        ("A;B;A;<;C", [("A", "B", []), ("B", "A", ["A"]), ("B", "C", ["A", "B", "A"])]),
    ],
)
def test_clicks_follow_what_is_on_screen_through_clicks_back(tmp_path, path, expected):
    assert steps(events_of(tmp_path, path)) == expected


def test_names_are_decoded_and_titles_have_spaces(tmp_path):
    (event,) = events_of(tmp_path, "%C3%89ire;Lost_%28TV_series%29")
    assert event == {
        "user_id": "player",
        "item_id": "Lost_(TV_series)",
        "timestamp": 1_300_000_000 - 50,
        "seed_item_id": "Éire",
        "seed_title": "Éire",
        "target_item_id": "Goal_x",
        "target_title": "Goal x",
        "history": [],
    }


@pytest.mark.parametrize(
    ("path", "duration", "end", "before_the_end"),
    [
        # Two moves divide a restarted path into three.
        ("A;B;C", 90, "restart", [60, 30]),
        # The last move of a timed-out path was 1800 seconds before its end.
        ("A;B;C", 1890, "timeout", [1845, 1800]),
        # A click back takes its time, too.
        ("A;B;<;C", 1890, "timeout", [1860, 1800]),
        # Too short for different seconds: a second apart nevertheless.
        ("A;B;C;D", 1, "restart", [0, -1, -2]),
        ("A;B;C", 1129, "timeout", [1128, 1127]),
    ],
)
def test_moves_are_spread_over_the_active_time_before_the_end(
    tmp_path, path, duration, end, before_the_end
):
    events = events_of(tmp_path, path, duration, end)
    assert [1_300_000_000 - event["timestamp"] for event in events] == before_the_end


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"p\t1\t2\tA;B\tC", "5 fields separated by tabs, but there should be 6"),
        (b"p\tnow\t2\tA;B\tC\trestart", "timestamp must be a whole number of seconds, got 'now'"),
        (b"p\t1\t-2\tA;B\tC\trestart", "duration must be"),
        (b"p\t1\t2\tA;B\tC\tdone", "must end in timeout or restart, got 'done'"),
        (b"p\t1\t2\tA;B;<;<\tC\trestart", "move 4 goes back from the first article"),
        (b"p\t1\t2\t<;A\tC\trestart", "move 1 goes back"),
        (b"p\t1\t2\tA;;B\tC\trestart", "the name of an article is empty"),
        (b"p\t1\t2\tA;%FF\tC\trestart", "'%FF' is not UTF-8"),
        (b"p\t1\t2\tA;\xff\tC\trestart", "not UTF-8"),
    ],
)
def test_malformed_path_is_unreadable_whole_and_reading_goes_on(tmp_path, line, reason):
    file = tmp_path / "paths_unfinished.tsv"
    file.write_bytes(line + b"\np\t100\t2\tA;B\tC\trestart\n")
    (at, bad), (_, good) = read_paths(str(file))
    assert at == 1
    assert isinstance(bad, Unreadable)
    assert reason in bad.reason
    assert good["item_id"] == "B"


def test_articles_have_all_parts_of_their_categories(tmp_path):
    (tmp_path / "articles.tsv").write_text("# comment\n\n%C3%85land\nBee\nNone_such\nA\tB\n")
    (tmp_path / "categories.tsv").write_text(
        "%C3%85land\tsubject.Countries\nBee\tsubject.Science.Biology.Insects\n"
        "Bee\tsubject.Science.Chemistry\nBee\tScience\n"
    )
    (bad_category_at, bad_category), *items, (bad_article_at, bad_article) = read_articles(
        str(tmp_path / "articles.tsv")
    )
    insects = ["Science", "Science.Biology", "Science.Biology.Insects", "Science.Chemistry"]
    assert items == [
        (3, {"item_id": "Åland", "title": "Åland", "categories": ["Countries"]}),
        (4, {"item_id": "Bee", "title": "Bee", "categories": insects}),
        (5, {"item_id": "None_such", "title": "None such", "categories": []}),
    ]
    assert (bad_category_at, bad_article_at) == (4, 6)
    assert bad_category.reason.startswith("categories.tsv: a category must be like subject.")
    assert isinstance(bad_article, Unreadable)


def test_articles_without_their_categories_are_refused(tmp_path):
    (tmp_path / "articles.tsv").write_text("A\n")
    with pytest.raises(InputError, match=r"categories\.tsv is missing"):
        list(read_articles(str(tmp_path / "articles.tsv")))


@needs_data
def test_the_data_set_gives_every_click_once_in_order():
    file = SourceFile(str(DATA / "paths_unfinished.tsv"), "wikispeedia_paths")
    assert column_names(file) is None
    records = list(read_records(file))
    lines = (DATA / "paths_unfinished.tsv").read_text(encoding="utf-8").splitlines()
    # Independent of any stack: a click is every article of a path but the first.
    clicks = {
        at: len([move for move in line.split("\t")[3].split(";") if move != "<"]) - 1
        for at, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    }
    assert collections.Counter(at for at, _ in records) == collections.Counter(clicks)
    times = collections.defaultdict(list)
    for at, event in records:
        times[at].append(event["timestamp"])
    assert all(t == sorted(set(t)) for t in times.values())
    days = [datetime.datetime.fromtimestamp(t[0], datetime.timezone.utc) for t in times.values()]
    assert min(days).isoformat()[:10] == "2011-02-07"
    assert max(days).isoformat()[:10] == "2014-01-15"


@needs_data
def test_the_data_sets_clicks_are_links_of_the_article_on_screen():
    # Whoever goes back wrongly has players click on links that their article does not have.
    lines = (DATA / "links.tsv").read_text(encoding="utf-8").splitlines()
    links = {tuple(unquote(line).split("\t")) for line in lines if not line.startswith("#")}
    paths = read_paths(str(DATA / "paths_unfinished.tsv"))
    found = [(event["seed_item_id"], event["item_id"]) in links for _, event in paths]
    assert sum(found) > 0.998 * len(found)


@needs_data
def test_the_data_sets_articles_are_all_read():
    file = SourceFile(str(DATA / "articles.tsv"), "wikispeedia_articles")
    items = [item for _, item in read_records(file)]
    assert len({item["item_id"] for item in items}) == 4604
    assert sum(not item["categories"] for item in items) == 6
