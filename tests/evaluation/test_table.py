"""The plain-text table of days."""

import datetime

import pytest

from twotower_tf.errors import InputError
from twotower_tf.evaluation.table import day_table
from twotower_tf.storage import Workdir, write_json

FIRST = datetime.date(2026, 1, 1)
SECOND = datetime.date(2026, 1, 2)


def evaluated(recalls):
    """The evaluation's metrics, from (protocol, method) to recall by K."""
    metrics = {}
    for (protocol, method), recall in recalls.items():
        methods = metrics.setdefault(protocol, {"methods": {}})["methods"]
        methods[method] = {"recall": {str(k): value for k, value in recall.items()}}
    return metrics


@pytest.fixture
def workdir(tmp_path):
    workdir = Workdir(str(tmp_path))
    write_json(
        workdir.metrics_path("build_examples", FIRST),
        {"events": 1_234_567, "examples": 1_000_000, "rejected": 89},
    )
    write_json(
        workdir.metrics_path("train", FIRST), {"loss": 5.43219, "examples_per_second": 20_123.7}
    )
    write_json(
        workdir.metrics_path("evaluate", FIRST),
        evaluated(
            {
                ("after", "model"): {10: 0.11111, 50: 0.22222},
                ("after", "most_popular"): {10: 0.01, 50: 0.02},
                ("after", "after_seed"): {10: 0.03, 50: None},
                ("before", "model"): {10: 0.09, 50: 0.19},
            }
        ),
    )
    return workdir


def test_a_line_has_the_data_the_training_and_every_recall(workdir):
    groups, titles, _, line = day_table(workdir, [FIRST]).splitlines()
    assert groups.split() == ["model", "most", "popular", "after", "seed"]
    data = ["day", "events", "examples", "rejected", "ex/s", "loss"]
    assert titles.split() == [*data, *["R@10", "R@50"] * 3]
    measured = ["2026-01-01", "1,234,567", "1,000,000", "89", "20,124", "5.4322"]
    recalls = ["0.1111", "0.2222", "0.0100", "0.0200", "0.0300", "-"]
    assert line.split() == measured + recalls


def test_before_shows_the_other_protocol(workdir):
    line = day_table(workdir, [FIRST], protocol="before").splitlines()[-1]
    assert line.split()[6:] == ["0.0900", "0.1900", "-", "-", "-", "-"]


def test_days_without_metrics_have_dashes_and_all_lines_align(workdir):
    lines = day_table(workdir, [FIRST, SECOND]).splitlines()
    assert lines[-1].split() == ["2026-01-02"] + ["-"] * 11
    assert len({len(line) for line in lines}) == 1


def test_without_any_metrics_there_is_still_a_table(tmp_path):
    lines = day_table(Workdir(str(tmp_path)), [FIRST]).splitlines()
    assert lines[-1].split() == ["2026-01-01"] + ["-"] * 5


def test_it_fits_140_columns_however_many_cut_offs_there_are(workdir):
    recall = dict.fromkeys((1, 5, 10, 50, 100, 500, 1000), 0.5)
    methods = ("model", "most_popular", "after_seed")
    write_json(
        workdir.metrics_path("evaluate", SECOND),
        evaluated({("after", method): recall for method in methods}),
    )
    table = day_table(workdir, [FIRST, SECOND])
    assert max(map(len, table.splitlines())) <= 140
    assert table.splitlines()[1].split()[6:] == ["R@1", "R@50", "R@1000"] * 3


def test_more_methods_are_shown_where_they_were_measured_and_it_still_fits(workdir):
    recall = dict.fromkeys((10, 50, 1000), 0.5)
    methods = ("model", "index_only", "own_items", "most_popular", "after_seed")
    write_json(
        workdir.metrics_path("evaluate", SECOND),
        evaluated({("before", method): recall for method in methods}),
    )
    table = day_table(workdir, [FIRST, SECOND], "before").splitlines()
    names = "model index only own items most popular after seed"
    assert table[0].split() == names.split()
    assert table[1].split()[6:] == ["R@10", "R@1000"] * 5
    assert max(map(len, table)) <= 140
    assert len({len(line) for line in table[1:]}) == 1


def test_of_six_methods_one_cut_off_is_shown_and_their_names_fit(workdir):
    recall = dict.fromkeys((10, 50, 1000), 0.5)
    methods = ("model", "index_only", "own_items", "most_popular", "after_seed", "item_knn")
    write_json(
        workdir.metrics_path("evaluate", SECOND),
        evaluated({("after", method): recall for method in methods}),
    )
    table = day_table(workdir, [FIRST, SECOND]).splitlines()
    names = ["model", "index only", "own items", "most popular", "after seed", "item knn"]
    assert table[0].split() == " ".join(names).split()
    assert table[1].split()[6:] == ["R@50"] * 6
    # Each name ends where its column does.
    ends = [end for end in range(1, len(table[1]) + 1) if table[1][:end].endswith("R@50")]
    assert [table[0].index(name) + len(name) for name in names] == ends
    assert max(map(len, table)) <= 140


def test_a_number_that_is_not_finite_is_a_dash(workdir):
    write_json(workdir.metrics_path("train", FIRST), {"loss": float("nan")})
    assert day_table(workdir, [FIRST]).splitlines()[-1].split()[4:6] == ["-", "-"]


def test_a_damaged_metrics_file_is_named(workdir):
    path = workdir.metrics_path("train", FIRST)
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"loss": ')
    with pytest.raises(InputError, match=r"train/dt=2026-01-01\.json is not JSON"):
        day_table(workdir, [FIRST])


def test_an_unknown_protocol_is_refused(workdir):
    with pytest.raises(ValueError, match="got 'during'"):
        day_table(workdir, [FIRST], protocol="during")


def test_a_second_stage_stands_beside_retrieval(workdir):
    def losses(**by_method) -> dict:
        return {"methods": {name: {"user_loss": loss} for name, loss in by_method.items()}}

    after = losses(model=0.1234, most_clicked=0.5, mean_watch_time=0.25, nomination_score=None)
    write_json(workdir.metrics_path("evaluate_ranking", FIRST), {"before": None, "after": after})
    groups, titles, _, line = day_table(workdir, [FIRST]).splitlines()
    assert groups.endswith("ranking: user loss")
    assert titles.split()[-3:] == ["model", "best", "other"]
    assert line.split()[-2:] == ["0.1234", "0.2500"]
    assert day_table(workdir, [FIRST], "before").splitlines()[-1].split()[-2:] == ["-", "-"]
    assert max(map(len, (groups, titles, line))) <= 140
