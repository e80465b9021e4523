"""The rules of configs/youtube.yaml on the logs of the simulator."""

import pathlib

import twotower_tf  # noqa: F401
from twotower_tf.config_loader import load_config
from twotower_tf.examples.building.build import build_examples
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import latest_catalogue, read_columns
from twotower_tf.indexing.candidates.selection import coverage, select_candidates
from twotower_tf.simulator.simulator import Simulator, SimulatorSettings
from twotower_tf.storage import Workdir

CONFIGURATION = pathlib.Path(__file__).parents[2] / "configs" / "youtube.yaml"


def test_the_rules_of_the_papers_setting_leave_items_out_and_pass_the_coverage_gate(tmp_path):
    config = load_config(str(CONFIGURATION), ["examples.shards=1"])
    sizes = {"videos": 1000, "channels": 50, "users": 300, "events_per_day": 6000}
    simulator = Simulator(SimulatorSettings(days=2, uploads_per_day=40, **sizes))
    simulator.write(str(tmp_path / "logs"), "parquet")
    workdir = Workdir(str(tmp_path / "work"))
    build_examples(config, workdir, str(tmp_path / "logs"), simulator.dates)
    counts = Counts(workdir)
    for day in simulator.dates:
        selected = select_candidates(config, counts, day, latest_catalogue(workdir, day))
        left_out = {rule["rule"]: rule["items"] for rule in selected.report["left_out"]}
        assert left_out["min_examples"] > 0
        assert selected.report["always"] > 0
        item_ids = read_columns(selected.catalogue, ["item_id"])["item_id"].to_numpy()
        recent = counts.items_until(day, config.selection.coverage_days)
        covered = coverage(recent, item_ids[selected.rows])
        assert config.gates.min_coverage <= covered < 1.0
