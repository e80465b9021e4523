"""What a model card says of a configuration."""

import pytest

from tests.training.small_training import VALUES, small_config
from twotower_tf.config import Config
from twotower_tf.releases.model_card import model_card

METADATA = {
    "days_trained": ["2026-03-01", "2026-03-02"],
    "metrics": {
        "examples": 7,
        "recall": None,
        "loss": None,
        "index": {"kind": "brute_force", "items": 3, "dim": 4, "index_recall": None},
    },
    "gates": [],
}


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ({}, "oldest first, each once."),
        ({"passes_per_day": 2, "replay": 1}, "each 2 times, with earlier ones mixed in."),
        (
            {"backfill": {"days": 1, "passes": 4}},
            "those of the backfill up to 4 times, each later one once.",
        ),
        (
            {"retrain": {"every_days": 7, "window_days": 9, "passes": 3}},
            "each once; the window of a fresh model that took over up to 3 times.",
        ),
    ],
)
def test_it_says_how_often_examples_were_seen(training, said):
    assert said in model_card(small_config(**training), METADATA)


def test_it_says_what_is_held_out():
    assert "10% of a day's examples are held out." in model_card(small_config(), METADATA)
    events = {**VALUES["source"]["events"], "columns": {"held_out": "test"}}
    config = Config.model_validate({**VALUES, "source": {**VALUES["source"], "events": events}})
    assert "held out of which the log's column 'test' says so." in model_card(config, METADATA)


def test_it_says_how_well_a_second_stage_ranks():
    ranking = {"user_loss": 0.25, "loss": 3.5, "last_user_loss": None}
    metadata = {**METADATA, "metrics": {**METADATA["metrics"], "ranking": ranking}}
    card = model_card(small_config(), metadata)
    assert "weighted per-user loss of the day's held-out impressions: 0.2500\n" in card
    assert "ranking" not in model_card(small_config(), METADATA)
