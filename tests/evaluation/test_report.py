"""The HTML report: read back with the standard library's parsers, over few and many days."""

import datetime
import math
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from twotower_tf.evaluation.charts import Series, by_decile, compact, moving_average, over_days
from twotower_tf.evaluation.report import write_report
from twotower_tf.storage import Workdir, write_json

FIRST = datetime.date(2026, 1, 1)
AT = ("10", "50")


def day(number):
    return FIRST + datetime.timedelta(days=number)


def protocol(recall):
    deciles = [
        {"items": 5, "held_out": 9 - n, "recall": dict.fromkeys(AT, recall)} for n in range(9)
    ]
    deciles.append({"items": 5, "held_out": 0, "recall": None})
    names = ("model", "most_popular", "after_seed")
    method = {"recall": dict.fromkeys(AT, recall), "mrr": recall, "recall_by_decile": deciles}
    return {"held_out": 45, "catalogue": 50, "methods": dict.fromkeys(names, method)}


def write_day(workdir, number):
    at = day(number)
    points = [{"item_id": "a", "estimated": 0.1 * n, "counted": 0.09 * n} for n in range(1, 9)]
    gate = {"name": "min_examples", "passed": True, "measured": 900, "required": 10}
    metrics = {
        "build_examples": {
            "events": 1000 + number,
            "examples": 900,
            "held_out": 90,
            "rejected": 10,
            "matches": {"profiles": {"given": 8, "matched": 6, "share": 0.75}},
        },
        "train": {"examples": 900, "loss": 6.0 - number / 1000, "examples_per_second": 5e4},
        "evaluate": {
            "before": protocol(0.25) if number else None,
            "after": protocol(0.375),
            "frequencies": {"points": points, "summary": {"items": 80, "median_ratio": 1.11}},
        },
        "build_index": {"kind": "brute_force", "items": 50, "index_recall": 0.987},
        "run_daily": {"status": "published", "release": 20260101 + number, "gates": [gate]},
    }
    for job, values in metrics.items():
        write_json(workdir.metrics_path(job, at), values)


class Page(HTMLParser):
    """Collects a page's text, its tables' rows and its references; checks that elements close."""

    VOID = ("meta", "link", "img", "br", "hr", "input")

    def __init__(self, path):
        super().__init__()
        self.source = open(path, encoding="utf-8").read()  # noqa: SIM115
        self.open, self.texts, self.rows, self.references, self.tags = [], [], [], [], []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [
            value for name, value in attributes if name in ("src", "href", "xlink:href")
        ]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "xlink:href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(self.texts)


@pytest.fixture
def workdir(tmp_path):
    return Workdir(str(tmp_path))


def test_the_report_shows_what_was_measured(workdir):
    for number in range(3):
        write_day(workdir, number)
    path = write_report(workdir, day(2))
    assert path == workdir.path("reports", "dt=2026-01-03.html")
    page = Page(path)
    for expected in (
        "Saturday, 3 January 2026",
        "published: release 20260103",
        "Recall@50 before training",
        "0.2500",
        "0.3750",
        "5.9980",
        "-0.0010 against 2026-01-02",
        "10 rejected (1.00 %)",
        "0.9870",
        "8 of 80 items",
    ):
        assert expected in page.text
    assert ["users with a profile (share)", "0.75"] in page.rows
    assert ["min examples", "900", "10", "passed"] in page.rows
    newest = ["2026-01-03", "20260103", "1,002", "900", "90", "1.00 %", "50,000", "5.9980"]
    assert [*newest, "0.2500", "0.2500", "0.3750", "0.3750"] in page.rows
    # Recall at two K and by decile, each before and after; training, data; frequencies.
    assert page.tags.count("svg") == 4 + 2 + 2 + 2 + 1


def test_what_else_was_measured_has_its_place(workdir):
    write_day(workdir, 1)
    after = protocol(0.375)
    group = {"items": 5, "held_out": 4, "examples": [1, 9], "recall": dict.fromkeys(AT, 0.25)}
    method = after["methods"]["model"] | {
        "precision": dict.fromkeys(AT, 0.0625),
        "map": dict.fromkeys(AT, 0.03125),
        "recall_by_repeat": {
            "new": {"held_out": 40, "recall": dict.fromkeys(AT, 0.125)},
            "repeat": {"held_out": 5, "recall": dict.fromkeys(AT, 0.875)},
            "unknown": {"held_out": 0, "recall": dict.fromkeys(AT)},
        },
        "recall_by_popularity": [group] * 11,
    }
    names = ("model", "index_only", "own_items", "most_popular", "after_seed", "item_knn")
    after["methods"] = dict.fromkeys(names, method)
    write_json(workdir.metrics_path("evaluate", day(1)), {"before": None, "after": after})
    page = Page(write_report(workdir, day(1)))
    assert ["item knn, after", *["0.0625"] * 2, *["0.0312"] * 2] in page.rows
    assert ["method", "R@10 new", "R@50 new", "R@10 repeat", "R@50 repeat"] in page.rows
    assert ["item knn, after", *["0.1250"] * 2, *["0.8750"] * 2] in page.rows
    assert "new: 40, repeat: 5" in page.text
    assert "never" in page.text
    assert "var(--series-6)" in page.source


def test_later_days_are_not_looked_at(workdir):
    for number in range(3):
        write_day(workdir, number)
    page = Page(write_report(workdir, day(1)))
    assert "2026-01-02" in page.source
    assert "2026-01-03" not in page.source


def test_the_page_needs_nothing_besides_itself(workdir):
    write_day(workdir, 0)
    page = Page(write_report(workdir, FIRST))
    assert all(reference.startswith("#") for reference in page.references)
    assert "script" not in page.tags
    addresses = set(re.findall(r"https?://[^\"'\s<]*", page.source))
    assert all(address.startswith("http://www.w3.org/") for address in addresses)
    assert "@import" not in page.source
    assert not re.search(r"url\((?!#)", page.source)


def test_every_chart_is_well_formed_and_takes_all_colours_from_the_page(workdir):
    write_day(workdir, 1)
    page = Page(write_report(workdir, day(1)))
    for chart in re.findall(r"<svg.*?</svg>", page.source, flags=re.DOTALL):
        ElementTree.fromstring(chart)
        colours = re.findall(r"(?:fill|stroke): (?!none)([^;\"]+)", chart)
        assert colours
        assert all(colour.startswith("var(--") for colour in colours)


def test_text_from_the_metrics_is_escaped(workdir):
    hostile = '<script>alert("1")</script>&'
    gate = {"name": hostile, "passed": False, "measured": hostile, "required": 1}
    values = {"status": hostile, "release": hostile, "gates": [gate]}
    write_json(workdir.metrics_path("run_daily", FIRST), values)
    write_json(workdir.metrics_path("build_index", FIRST), {"kind": hostile})
    page = Page(write_report(workdir, FIRST))
    assert "script" not in page.tags
    assert page.text.count('<script>alert("1")</script>&') >= 4


def test_a_failed_gate_is_said_at_the_top_and_in_the_table(workdir):
    gates = [{"name": "min_recall_ratio", "passed": False, "measured": 0.25, "required": 0.5}]
    values = {"status": "held back", "release": None, "gates": gates}
    write_json(workdir.metrics_path("run_daily", FIRST), values)
    page = Page(write_report(workdir, FIRST))
    assert "held back: a gate failed" in page.text
    assert ["min recall ratio", "0.25", "0.5", "failed"] in page.rows


def test_a_day_without_any_metrics_has_a_report_that_says_so(workdir):
    page = Page(write_report(workdir, FIRST))
    assert "Thursday, 1 January 2026" in page.text
    assert "No day was evaluated yet." in page.text


@pytest.mark.parametrize("job", ["build_examples", "train", "evaluate", "build_index", "run_daily"])
def test_any_one_job_may_be_missing(workdir, job):
    for number in range(2):
        write_day(workdir, number)
        os.remove(workdir.metrics_path(job, day(number)))
    Page(write_report(workdir, day(1)))


def test_a_day_without_held_out_examples_has_a_report(workdir):
    nothing = protocol(None)
    for method in nothing["methods"].values():
        method["recall_by_decile"] = [{"items": 5, "held_out": 0, "recall": None}] * 10
    write_json(workdir.metrics_path("evaluate", FIRST), {"before": None, "after": nothing})
    assert "Recall@50 after training" in Page(write_report(workdir, FIRST)).text


@pytest.mark.long
def test_a_thousand_days_are_averaged_and_the_table_has_the_last_sixty(workdir):
    for number in range(1000):
        write_day(workdir, number)
    page = Page(write_report(workdir, day(999)))
    days = [row[0] for row in page.rows if row and row[0].startswith("20")]
    assert days == [day(number).isoformat() for number in range(999, 939, -1)]
    assert "the mean of the last 7 days" in page.text
    assert len(page.source) < 3_000_000


def test_the_same_metrics_give_the_same_bytes_and_leave_no_other_file(workdir):
    write_day(workdir, 0)
    first = open(write_report(workdir, FIRST), "rb").read()  # noqa: SIM115
    second = open(write_report(workdir, FIRST), "rb").read()  # noqa: SIM115
    assert first == second
    assert os.listdir(workdir.path("reports")) == ["dt=2026-01-01.html"]


def test_moving_average_equals_a_loop_and_leaves_out_missing_days():
    nan = math.nan
    assert moving_average([1.0, 3.0, nan, 5.0, nan, nan, nan], days=3) == pytest.approx(
        [1.0, 2.0, 2.0, 4.0, 5.0, 5.0, nan], nan_ok=True
    )


def test_charts_without_any_value_are_still_drawn():
    ElementTree.fromstring(over_days([FIRST], [Series([None])], "nothing"))
    ElementTree.fromstring(by_decile([0] * 10, [Series([None] * 10)], "nothing", highest=0.0))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.125, "0.125"), (950, "950"), (999.9, "1k"), (17_500, "17.5k"), (4e6, "4M")],
)
def test_compact_numbers(value, text):
    assert compact(value) == text


def test_a_second_stage_has_its_loss_against_others_and_its_calibration(workdir):
    for number in range(3):
        write_day(workdir, number)
        write_ranking(workdir, number)
    page = Page(write_report(workdir, day(2)))
    assert ["ranking model, after", "0.2500", "0.8000", "0.7500", "-"] in page.rows
    assert ["mean watch time, before", "0.5000", "0.5000", "0.5000", "-"] in page.rows
    text = " ".join(page.texts)
    assert "All predicted over all watched seconds: 1.250." in text
    labels = re.findall('aria-label="([^"]*)"', page.source)
    assert labels.count("Weighted per-user loss, after training on the day") == 1
    assert "Seconds by position on the page" in labels


def write_ranking(workdir, number):
    methods = {
        "model": {"user_loss": 0.25, "auc": 0.8, "user_auc": 0.75, "ndcg": None},
        "mean_watch_time": {"user_loss": 0.5, "auc": 0.5, "user_auc": 0.5, "ndcg": None},
    }
    groups = [{"impressions": 10, "predicted": 3.0, "watched": 2.5}] * 4
    calibration = {
        "ratio": 1.25,
        "by_decile": groups,
        "by_position": [{"position": 1.0, **groups[0]}],
    }
    measured = {"impressions": 40, "methods": methods, "calibration": calibration}
    found = {"before": measured if number else None, "after": measured}
    write_json(workdir.metrics_path("evaluate_ranking", day(number)), found)
