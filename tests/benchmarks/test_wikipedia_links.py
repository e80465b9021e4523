"""Table 1 of Yi et al. 2019 on links between pages: what the pipeline gets, and the ratios."""

import json

import pytest

from benchmarks import wikipedia_links as links

PAGES = ["A%C3%A9", "B_b", "C", "D", "E"]
LINKS = [(one, other) for one in PAGES for other in PAGES if one != other]


@pytest.fixture
def data(tmp_path):
    """Wikispeedia's three files, of five pages that all link to each other."""
    folder = tmp_path / "data"
    folder.mkdir()
    pages = "".join(f"{page}\n" for page in PAGES)
    (folder / "articles.tsv").write_text(f"# Pages\n\n{pages}")
    (folder / "categories.tsv").write_text("B_b\tsubject.Science.Biology\n")
    rows = "".join(f"{one}\t{other}\n" for one, other in LINKS)
    (folder / "links.tsv").write_text(f"# Links\n\n{rows}")
    return folder


def test_links_are_events_of_one_day_with_what_their_page_is_like(data, tmp_path):
    assert links.write_source(data, tmp_path / "source") == 20
    lines = (tmp_path / "source" / "links.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert {(event["page_id"], event["item_id"]) for event in events} == {
        (one.replace("%C3%A9", "é"), other.replace("%C3%A9", "é")) for one, other in LINKS
    }
    of_b = next(event for event in events if event["page_id"] == "B_b")
    assert (of_b["title"], of_b["user_id"]) == ("B b", "B_b")
    assert of_b["categories"] == ["Science", "Science.Biology"]
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    assert 0 <= times[0] - 1_199_145_600 <= times[-1] - 1_199_145_600 < 86_400


def test_a_share_of_the_links_is_the_same_at_every_call(data, tmp_path):
    assert links.write_source(data, tmp_path / "a", 0.25) == 5
    links.write_source(data, tmp_path / "b", 0.25)
    first, second = ((tmp_path / one / "links.jsonl").read_bytes() for one in "ab")
    assert first == second


def test_rows_are_those_of_the_paper_and_the_towers_share_their_tables():
    assert set(links.variants(links.TEMPERATURES)) == set(links.PUBLISHED)
    config = links.configuration({"kind": "mse_gramian"}, passes=3, seed=1)
    tables = [[one.table for one in tower.features] for tower in (config.query, config.candidate)]
    assert tables == [["pages", "words", "categories"]] * 2
    assert config.query.layers == config.candidate.layers == [512, 128]


def test_ratios_are_over_the_plain_softmax_of_the_same_temperature():
    recalls = {
        "mse_gramian": 0.05,
        "plain_softmax 0.05": 0.1,
        "plain_softmax 0.07": 0.2,
        "corrected_softmax 0.05": 0.3,
        "corrected_softmax 0.07": 0.5,
    }
    rows = {
        name: {"recall": {str(k): {"mean": recall} for k in links.AT}}
        for name, recall in recalls.items()
    }
    found = {(pair, k): (ours, theirs) for pair, k, ours, theirs in links.ratios(rows)}
    assert found["corrected_softmax 0.05 / plain_softmax 0.05", 10] == (
        pytest.approx(3.0),
        pytest.approx(0.0987 / 0.0579),
    )
    assert found["corrected_softmax 0.07 / plain_softmax 0.07", 300][0] == pytest.approx(2.5)
    assert found["mse_gramian / plain_softmax 0.07", 100] == (
        pytest.approx(0.25),
        pytest.approx(0.2027 / 0.3746),
    )


def test_without_the_data_it_says_what_is_missing(tmp_path, capsys):
    links.main([f"--data={tmp_path}"])
    assert "links.tsv; give Wikispeedia's folder as --data" in capsys.readouterr().out


@pytest.mark.long
def test_it_runs_from_links_to_figures(data, tmp_path):
    out = tmp_path / "figures.json"
    links.main([f"--data={data}", "--passes=1", "--temperatures=0.07", f"--out={out}"])
    written = json.loads(out.read_text())
    assert written["counts"]["examples"] + written["counts"]["held_out"] == 20
    assert list(written["rows"]) == list(links.variants([0.07]))
    # Five pages are all among the first ten.
    assert all(row["recall"]["10"]["mean"] == 1.0 for row in written["rows"].values())
