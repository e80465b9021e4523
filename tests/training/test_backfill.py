"""The backfill: which days, how often, in which order; killed and gone on with."""

import numpy as np
import pytest

from tests.training.small_training import DAYS, kill_in_pass, small_config, weights_of
from twotower_tf.config import Config
from twotower_tf.errors import JobError
from twotower_tf.storage import Workdir

# isort: split
import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

from twotower_tf.training import backfill, sequence  # isort: skip
from twotower_tf.training.trainer import Trainer  # isort: skip


def _config(optimizer=None, **backfill) -> Config:
    return small_config(optimizer, backfill=backfill)


def test_the_first_so_many_days_or_those_up_to_one_are_the_window(write_examples, workdir):
    for day in DAYS[:3]:
        write_examples(day, 4)
    assert backfill.window_of(_config(days=2), workdir) == DAYS[:2]
    assert backfill.window_of(_config(days=4), workdir) == []
    assert backfill.window_of(_config(until=DAYS[1]), workdir) == DAYS[:2]
    assert backfill.window_of(_config(until=DAYS[3]), workdir) == []


def test_passes_end_with_patience_and_the_first_of_the_best_is_kept():
    passes = backfill.Passes()
    for recall in (0.1, 0.3, 0.2, 0.3):
        assert not passes.end(most=9, patience=3)
        passes.done += 1
        passes.recalls.append(recall)
    assert passes.best == 2
    assert not passes.end(9, 3)
    assert passes.end(9, 2)
    assert passes.end(4, None)
    assert backfill.Passes(done=3).best == 3


def test_each_pass_has_every_example_once_in_an_order_of_its_own(write_examples, workdir):
    for day in DAYS[:2]:
        write_examples(day, 40)
    trainer = Trainer(_config(days=2), workdir)
    partitions = [workdir.partition("examples", day) for day in DAYS[:2]]

    def order(seed) -> list[str]:
        batches, examples = trainer._reader.read_shuffled(partitions, 16, seed)
        assert examples == 80
        ids = [one.decode() for batch in batches for one in batch["user_id"].numpy()]
        assert len(ids) == 80
        return ids

    first = order((17, 1))
    assert sorted(first) == sorted(f"{day}-{n}" for day in DAYS[:2] for n in range(40))
    assert order((17, 1)) == first
    assert order((17, 2)) != first
    # Both days are in every quarter.
    assert all(len({one[:10] for one in first[at : at + 20]}) == 2 for at in range(0, 80, 20))


def test_replay_mixes_so_many_examples_of_earlier_days_into_a_day(write_examples, workdir):
    for day in DAYS[:3]:
        write_examples(day, 30)
    trainer = Trainer(_config(days=1), workdir)
    own, others = workdir.partition("examples", DAYS[2]), [workdir.partition("examples", DAYS[0])]
    batches, examples = trainer._reader.read_shuffled([own], 16, (1,), others, 12)
    assert examples == 42
    ids = [one.decode() for batch in batches for one in batch["user_id"].numpy()]
    assert sum(one.startswith(str(DAYS[2])) for one in ids) == 30
    assert len({one for one in ids if one.startswith(str(DAYS[0]))}) == 12


@pytest.mark.long
def test_a_backfill_killed_between_passes_ends_with_the_same_bits(
    write_examples, workdir, other_workdir, monkeypatch
):
    for place in (workdir, other_workdir):
        for day in DAYS[:4]:
            write_examples(day, 30, place)
    config = _config(days=3, passes=3)

    def train(place: Workdir) -> None:
        trainer = Trainer(config, place)
        for together in sequence.trainings(trainer, DAYS[:4]):
            sequence.train_together(trainer, together)

    train(workdir)
    kill_in_pass(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        train(other_workdir)
    assert other_workdir.days("checkpoints") == []
    train(other_workdir)
    assert other_workdir.days("checkpoints") == [DAYS[2], DAYS[3]]
    assert weights_of(other_workdir, DAYS[3]) == weights_of(workdir, DAYS[3])
    manifest = workdir.partition("checkpoints", DAYS[3]).manifest()
    assert manifest["days_trained"] == [day.isoformat() for day in DAYS[:4]]


def test_patience_measures_each_pass_and_restores_the_best(write_examples, workdir):
    for day in DAYS[:2]:
        write_examples(day, 30)
    config = _config(days=2, passes=6, patience=2, validation_days=1)
    trainer, recalls, kept = Trainer(config, workdir), iter([0.2, 0.5, 0.4, 0.1]), []

    def validate(days):
        assert days == DAYS[1:2]
        kept.append([variable.numpy() for variable in trainer.model.trainable_variables])
        return next(recalls)

    metrics = trainer.train_backfill(DAYS[:2], validate)
    assert metrics["recalls"] == [0.2, 0.5, 0.4, 0.1]
    assert (metrics["passes"], metrics["best_pass"]) == (4, 2)
    for best, now in zip(kept[1], trainer.model.trainable_variables, strict=True):
        np.testing.assert_array_equal(best, now.numpy())


def test_nothing_is_trained_while_the_backfill_waits(write_examples, workdir):
    write_examples(DAYS[0], 10)
    config = _config(days=3)
    assert list(sequence.train_days(config, workdir, DAYS[:1])) == []
    assert workdir.days("checkpoints") == []


def test_days_after_the_backfill_are_trained_at_a_share_of_the_learning_rate(
    write_examples, workdir
):
    for day in DAYS[:2]:
        write_examples(day, 20)
    config = _config(days=1, passes=1, learning_rate_after=0.25)
    trainer = Trainer(config, workdir)
    full = float(trainer.model.optimizer.learning_rate)
    for together in sequence.trainings(trainer, DAYS[:2]):
        sequence.train_together(trainer, together)
    assert float(trainer.model.optimizer.learning_rate) == pytest.approx(full * 0.25)


def test_a_loss_that_is_not_finite_ends_the_backfill_with_what_to_do(write_examples, workdir):
    write_examples(DAYS[0], 20)
    config = _config({"kind": "sgd", "learning_rate": 1e38}, days=1, passes=3)
    with pytest.raises(JobError, match=r"pass \d is (nan|inf)"):
        Trainer(config, workdir).train_backfill(DAYS[:1])
    assert workdir.days("checkpoints") == []
