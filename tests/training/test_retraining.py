"""A fresh model beside the running one: when, of what, and which of both goes on."""

import numpy as np
import pytest

from tests.training.small_training import DAYS, kill_in_pass, small_config, weights_of
from twotower_tf.storage import Workdir

# isort: split
import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

from twotower_tf.training import sequence  # isort: skip
from twotower_tf.training.trainer import Trainer  # isort: skip

RETRAIN = {"every_days": 2, "window_days": 3, "passes": 2, "validation_days": 2}
BACKFILL = {"days": 2, "passes": 2}


@pytest.fixture
def days(write_examples, workdir, other_workdir):
    for place in (workdir, other_workdir):
        for day in DAYS:
            write_examples(day, 30, place)
    return DAYS


def _train(place: Workdir, days, fresh_is_better: bool, **training) -> dict:
    """Trains; returns the metrics of each day, and which days each comparison was of."""
    config, asked = small_config(**training), []

    def validate_with(trainer):
        def recall(judged) -> float:
            asked.append(judged)
            return float((trainer.last_day is None) == fresh_is_better)

        return recall

    return dict(sequence.train_days(config, place, days, validate_with)), asked


@pytest.mark.long
def test_a_better_fresh_model_takes_the_place_of_the_running_one_to_the_bit(days, workdir):
    made, asked = _train(workdir, days[:4], True, backfill=BACKFILL, retrain=RETRAIN)
    assert [day for day in made if "retrain" in made[day]] == [days[3]]
    found = made[days[3]]["retrain"]
    assert (found["days"], found["passes"], found["taken"]) == (3, 2, True)
    assert (found["recall"], found["recall_of_running"]) == (1.0, 0.0)
    # Each asked for the same days: twice for the one that measures its passes at the end too.
    assert asked == [days[2:4]] * len(asked)
    manifest = workdir.partition("checkpoints", days[3]).manifest()
    assert manifest["days_trained"] == [day.isoformat() for day in days[:4]]
    running = Trainer(small_config(backfill=BACKFILL, retrain=RETRAIN), workdir)
    # What a model learns of these three days from nothing.
    alone = Trainer(small_config(), workdir, at_or_before=days[0])
    assert alone.last_day is None
    alone.catch_up(days[1:4], running.config.training.retrain)
    for mine, theirs in zip(running.model.variables, alone.model.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.name)
    assert running.days_trained == days[:4]
    # The day after is trained at a share of the rate, and nothing is due.
    metrics, _ = _train(workdir, days, True, backfill=BACKFILL, retrain=RETRAIN)
    assert "retrain" not in metrics[days[4]]


@pytest.mark.long
def test_a_running_model_that_is_better_stays_as_it_is(days, workdir, other_workdir):
    made, _ = _train(workdir, days, False, backfill=BACKFILL, retrain=RETRAIN)
    assert [made[day]["retrain"]["taken"] for day in made if "retrain" in made[day]] == [False]
    _train(other_workdir, days, False, backfill=BACKFILL)
    running, alone = (
        Trainer(small_config(backfill=BACKFILL), place, days[4])
        if place is other_workdir
        else Trainer(small_config(backfill=BACKFILL, retrain=RETRAIN), place)
        for place in (workdir, other_workdir)
    )
    for mine, theirs in zip(running.model.variables, alone.model.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.name)


@pytest.mark.long
def test_killed_while_a_fresh_model_is_trained_the_day_ends_with_the_same_bits(
    days, workdir, other_workdir, monkeypatch
):
    _train(workdir, days[:4], True, backfill=BACKFILL, retrain=RETRAIN)
    _train(other_workdir, days[:3], True, backfill=BACKFILL, retrain=RETRAIN)
    kill_in_pass(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        _train(other_workdir, days[:4], True, backfill=BACKFILL, retrain=RETRAIN)
    assert other_workdir.days("checkpoints")[-1] == days[2]
    _train(other_workdir, days[:4], True, backfill=BACKFILL, retrain=RETRAIN)
    assert weights_of(other_workdir, days[3]) == weights_of(workdir, days[3])
