"""The index job by its command line: rules, what they took out, coverage, Beam."""

import json

import pytest

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def selected(finished_site, tmp_path_factory, days):
    """The finished site, its last day released anew with rules that leave most items in."""
    made = finished_site.copy(tmp_path_factory.mktemp("selected"))
    denied = made.root / "deny.txt"
    denied.write_text("i23\ni22\n")
    flags = [f"--set=selection.deny={denied}", "--set=selection.min_examples=2"]
    made.run_of_index = made.run("build_index", f"--date={days[2]}", *flags)
    return made


def test_what_the_rules_took_out_is_in_metrics_log_release_and_report(selected, days):
    run = selected.run_of_index
    assert run.status == 0, run.err
    metrics = selected.metrics("build_index", days[2])
    left_out = {one["rule"]: one["items"] for one in metrics["selection"]["left_out"]}
    assert list(left_out) == ["duplicate_ids", "not_yet_published", "deny", "min_examples"]
    assert (left_out["not_yet_published"], left_out["deny"]) == (1, 2)
    assert metrics["items"] == 25 - sum(left_out.values())
    assert f"{metrics['items']} items selected" in run.err
    assert 0.9 < metrics["coverage"] < 1
    [gate] = [
        one for one in selected.metrics("run_daily", days[2])["gates"] if one["name"] == "coverage"
    ]
    assert (gate["passed"], gate["measured"]) == (True, metrics["coverage"])
    release = selected.workdir / "releases/site/2024030301/release.json"
    assert json.loads(release.read_text())["metrics"]["index"]["selection"] == metrics["selection"]
    report = (selected.workdir / f"reports/dt={days[2]}.html").read_text(encoding="utf-8")
    assert "<td>deny</td><td>2</td><td>22</td>" in report


def test_an_index_that_covers_too_little_is_held_back(finished, days):
    (finished.root / "allow.txt").write_text("i1\ni2\n")
    allow = f"--set=selection.allow={finished.root / 'allow.txt'}"
    run = finished.run("build_index", f"--date={days[2]}", allow)
    assert run.status == 1
    assert "was held back by a gate: coverage: 0." in run.error
    assert "is less than the required 0.9 (gates.min_coverage)" in run.error
    assert finished.releases() == ["2024030300"]
    run = finished.run("build_index", f"--date={days[2]}", allow, "--set=gates.min_coverage=0.05")
    assert run.status == 0
    assert len(finished.run("recommend", "--query={}").out.splitlines()) == 2


def test_options_for_beam_embed_large_catalogues_by_beam_to_the_same_bytes(finished, days):
    before = finished.files("embeddings")
    assert any(name.endswith(".parquet") for name in before)
    date, beam = f"--date={days[2]}", ["--", "--runner=FnApiRunner"]
    run = finished.run("build_index", date, *beam)
    assert "by Beam" not in run.err
    run = finished.run("build_index", date, "--set=embedding.beam_from_items=24", *beam)
    assert run.status == 0, run.err
    assert "embedding the catalogue by Beam, shards: 1" in run.err
    assert finished.files("embeddings") == before
