"""Nights with a second stage: both models in one call, each alone, a night that died between."""

import random
import shutil

import pytest


def _with_ranking(site, days):
    """Adds an impression log, of which the events are the clicks, and a ranking model to a site."""
    source = site.values["source"]
    source["events"]["columns"]["dwell"] = "watched"
    columns = {"page_id": "page", "position": "place", "score": "score"}
    source["impressions"] = {"path": "impressions/{date}.jsonl", "columns": columns}
    site.values["candidate"]["features"].append({"name": "name", "kind": "id"})
    training = {"batch_size": 32, "tensorboard": False}
    site.values["ranking"] = {"likes": ["name"], "layers": [8], "training": training}
    return site


def _write_impressions(site, day, events) -> None:
    """Writes a page for each event of a day: its item, seconds before, among some others."""
    rng = random.Random(day.toordinal())
    shown = []
    for number, event in enumerate(events):
        others = rng.sample([f"i{n}" for n in range(24) if f"i{n}" != event["item_id"]], 3)
        for place, item in enumerate(rng.sample([event["item_id"], *others], 4)):
            shown.append(
                {
                    "user_id": event["user_id"],
                    "item_id": item,
                    "timestamp": event["timestamp"] - 5,
                    "page": f"{day}-{number}",
                    "place": place,
                    "score": rng.random(),
                }
            )
    site.write(f"impressions/{day}.jsonl", shown)


@pytest.fixture
def ranked(site, days, day_events):
    """A site that ranks, on which no job ran yet."""
    _with_ranking(site, days)
    for day in days[:2]:
        _write_impressions(site, day, day_events(day))
    return site


@pytest.mark.long
def test_a_night_trains_measures_and_releases_both_models(ranked, days):
    run = ranked.run("run_daily", f"--start={days[0]}", f"--end={days[1]}")
    assert run.status == 0, run.err
    assert ranked.days("ranking_checkpoints") == ranked.days("checkpoints")
    assert ranked.metrics("evaluate_ranking", days[0])["before"] is None
    found = ranked.metrics("evaluate_ranking", days[1])
    for protocol in ("before", "after"):
        # The first page of a day may lie before midnight.
        assert found[protocol]["clicked"] > 0
        assert 0 <= found[protocol]["methods"]["model"]["user_loss"] <= 1
    gates = ranked.metrics("run_daily", days[1])["gates"]
    assert {"ranking_loss", "ranking_user_loss"} <= {gate["name"] for gate in gates}
    (version,) = ranked.releases()
    release = ranked.workdir / "releases" / "site" / version
    card = (release / "assets.extra" / "model_card.md").read_text()
    assert "ranking: weighted per-user loss" in card
    assert "Weighted per-user loss" in (ranked.workdir / f"reports/dt={days[1]}.html").read_text()

    # Called again there is nothing to do; if only the second model is missing, it is made up for.
    before = ranked.files("ranking_checkpoints")
    assert "nothing to do" in ranked.run("run_daily", f"--date={days[1]}").err
    shutil.rmtree(ranked.workdir / "ranking_checkpoints")
    run = ranked.run("run_daily", f"--start={days[0]}", f"--end={days[1]}")
    assert run.status == 0, run.err
    again = ranked.files("ranking_checkpoints")
    data = [name for name in before if ".data-" in name]
    assert data
    assert {name: before[name] for name in data} == {name: again[name] for name in data}
    assert len(ranked.releases()) == 2

    # And alone it is the same model.
    shutil.rmtree(ranked.workdir / "ranking_checkpoints")
    period = [f"--start={days[0]}", f"--end={days[1]}"]
    assert ranked.run("train", "--model=ranking", *period).status == 0
    alone = ranked.files("ranking_checkpoints")
    assert {name: before[name] for name in data} == {name: alone[name] for name in data}
    run = ranked.run("evaluate", "--model=ranking", f"--date={days[1]}")
    assert run.status == 0, run.err
    assert '"user_loss"' in run.out
    assert '"recall"' not in run.out


def test_without_the_section_there_is_no_ranking_model_to_train(site, days):
    run = site.run("train", "--model=ranking", f"--date={days[0]}")
    assert run.status == 2
    assert run.error == "error: --model=ranking: the configuration has no section ranking"
