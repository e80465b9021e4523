"""A model that goes on under another loss, optimiser or learning rate than the night before."""

import logging

import numpy as np
import pytest

from tests.training.small_training import DAYS, VALUES, weights_of
from twotower_tf.config import Config
from twotower_tf.errors import JobError

# isort: split
import tensorflow as tf

from twotower_tf.training.sequence import train_days
from twotower_tf.training.trainer import Trainer

LEARNED = {"temperature": {"learned": True, "start": 0.2}}


def configured(loss=None, optimizer=None, **training) -> Config:
    training = {"batch_size": 16, "tensorboard": False, **training}
    changed = {"loss": loss or {}, "optimizer": optimizer or {}, "training": training}
    return Config.model_validate({**VALUES, **changed})


@pytest.fixture
def days(write_examples):
    for day in DAYS[:3]:
        write_examples(day, 48)
    return DAYS[:3]


def _slots(trainer: Trainer) -> list[np.ndarray]:
    optimizer = trainer.model.optimizer
    return [one.numpy() for one in optimizer.variables if one is not optimizer.iterations]


def test_what_was_learnt_goes_on_under_another_loss_and_optimiser(workdir, days, caplog):
    plain = configured()
    list(train_days(plain, workdir, days[:1]))
    before = Trainer(plain, workdir)

    learning = Trainer(configured(LEARNED), workdir)
    assert learning.model.batch_loss.temperature == pytest.approx(0.2)
    for old, new in zip(_slots(before), _slots(learning), strict=False):
        assert np.array_equal(old, new)
    assert len(_slots(learning)) == len(_slots(before)) + 1

    with caplog.at_level(logging.WARNING):
        other = Trainer(configured({"kind": "mse_gramian"}, {"kind": "sgd"}), workdir)
    assert "the optimiser is of another kind than before" in caplog.text
    assert not any(one.any() for one in _slots(other))
    assert int(other.model.optimizer.iterations) == 3
    for name in ("query_tower", "candidate_tower", "estimator"):
        old, new = (getattr(one.model, name).get_weights() for one in (before, other))
        assert len(old) == len(new) > 0
        assert all(map(np.array_equal, old, new))

    metrics = other.train_day(days[1])
    assert metrics["settings"]["loss.kind"] == "mse_gramian"
    # The sketch counts whether the loss asks it or not.
    assert int(other.model.estimator.step) == 6
    back = Trainer(plain, workdir)
    assert int(back.model.estimator.step) == 6
    initial = plain.optimizer.initial_accumulator
    assert all(np.allclose(one, initial) for one in _slots(back))
    assert np.isfinite(back.train_day(days[2])["loss"])


def test_a_day_goes_at_its_own_rate_and_one_that_was_spoilt_is_made_up_for(
    workdir, other_workdir, days, write_examples
):
    sane, wild = configured(), configured(optimizer={"learning_rate": 1e38})
    write_examples(days[0], 48, other_workdir)
    write_examples(days[1], 48, other_workdir)
    for place in (workdir, other_workdir):
        list(train_days(sane, place, days[:1]))
    with pytest.raises(JobError) as spoilt:
        list(train_days(wild, workdir, days[1:2]))
    assert (
        "the model is as it was before; run it again with --set optimizer.learning_rate=1e+37"
        in (str(spoilt.value))
    )
    assert "optimizer.clipnorm=1 (the rate is 1e+38)" in str(spoilt.value)
    slower = configured(optimizer={"learning_rate": 0.02})
    for place in (workdir, other_workdir):
        list(train_days(slower, place, days[1:2]))
    assert weights_of(workdir, days[1]) == weights_of(other_workdir, days[1])
    partition = workdir.partition("checkpoints", days[1])
    reader = tf.train.load_checkpoint(partition.file("checkpoint"))
    rate = reader.get_tensor("optimizer/_learning_rate/.ATTRIBUTES/VARIABLE_VALUE")
    assert rate == np.float32(0.02)


def test_a_backfill_whose_loss_changed_half_way_begins_anew(workdir, days, monkeypatch):
    from tests.training.small_training import kill_in_pass

    passes = {"backfill": {"days": 2, "passes": 2}}
    kill_in_pass(monkeypatch, killed_in=2)
    with pytest.raises(KeyboardInterrupt):
        list(train_days(configured(**passes), workdir, days[:2]))
    changed = configured({"temperature": 0.2}, **passes)
    ((_, metrics),) = train_days(changed, workdir, days[:2])
    assert metrics["last_step"] == 12
    fresh = Trainer(changed, workdir)
    assert int(fresh.model.estimator.step) == 12


def test_clipnorm_bounds_a_step(workdir, days):
    clipped = configured(optimizer={"kind": "sgd", "learning_rate": 1e6, "clipnorm": 1e-6})
    ((_, metrics),) = train_days(clipped, workdir, days[:1])
    assert np.isfinite(metrics["loss"])
