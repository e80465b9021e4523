"""The ranking model's trainer: days in order, resumed, repeatable, and apart from retrieval's."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

import tensorflow as tf  # isort: skip

from tests.ranking_batches import config_of
from tests.ranking_days import DAYS, variables_of, write_catalogue, write_day
from twotower_tf.errors import InputError, JobError
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.storage import RANKING, RANKING_CHECKPOINTS, Workdir, read_json
from twotower_tf.training.ranking_trainer import RankingTrainer
from twotower_tf.training.sequence import train_days

TRAINING = {"batch_size": 16, "tensorboard": False, "keep_checkpoints": 2}


def _config(optimizer=None, **training):
    return config_of(training={**TRAINING, **training}, optimizer=optimizer or {})


def _train(config, workdir, days) -> dict:
    return dict(train_days(config, workdir, days, kind=RankingTrainer))


@pytest.fixture
def make(tmp_path):
    """Makes work directories with the same days of impressions; the third has none."""

    def made(name: str) -> Workdir:
        workdir = Workdir(str(tmp_path / name))
        write_catalogue(workdir, _config(), tmp_path)
        for day in DAYS:
            write_day(workdir, day, count=0 if day == DAYS[2] else 60)
        return workdir

    return made


@pytest.mark.long
def test_days_one_by_one_make_the_model_of_all_in_one_go(make):
    one_go, one_by_one = make("one"), make("other")
    metrics = _train(_config(), one_go, DAYS)
    for day in DAYS:
        _train(_config(), one_by_one, [day])
    assert one_go.days(RANKING_CHECKPOINTS) == DAYS[-2:]
    found = [variables_of(w.partition(RANKING_CHECKPOINTS, DAYS[-1])) for w in (one_go, one_by_one)]
    for name, values in found[0].items():
        np.testing.assert_array_equal(values, found[1][name], err_msg=name)
    assert metrics[DAYS[4]]["last_step"] == 16
    assert metrics[DAYS[2]]["loss"] is None
    assert read_json(one_go.metrics_path("train_ranking", DAYS[4]))["loss"] > 0
    # The retrieval model has nothing of it.
    assert one_go.days("checkpoints") == []


def test_numbers_and_biases_are_those_of_the_first_day_alone(make):
    workdir = make("work")
    config = _config()
    _train(config, workdir, DAYS[:2])
    model = RankingTrainer(config, workdir).model
    batches = list(
        ExampleReader(config, RANKING).read(workdir.partition(RANKING, DAYS[0]), "train", 16)
    )
    scores = np.concatenate([batch["impression"]["nomination_score"] for batch in batches])
    row = model.candidate_numbers.names.index("nomination_score")
    expected = np.quantile(scores.astype(np.float64), np.linspace(0, 1, 101))
    np.testing.assert_allclose(model.candidate_numbers.quantiles[row], expected, rtol=1e-6)


@pytest.mark.long
def test_it_starts_from_a_backfill_and_goes_on_day_by_day(make):
    workdir = make("work")
    config = _config(backfill={"days": 2, "passes": 3}, replay=1)
    metrics = _train(config, workdir, DAYS[:4])
    assert list(metrics) == [DAYS[1], DAYS[2], DAYS[3]]
    assert metrics[DAYS[1]]["passes"] == 3
    # 120 examples in batches of 16, three times.
    assert metrics[DAYS[1]]["last_step"] == 24
    trainer = RankingTrainer(config, workdir)
    assert trainer.days_trained == DAYS[:4]
    assert float(trainer.model.optimizer.learning_rate) == pytest.approx(0.03)
    assert not workdir.days("ranking_backfill/pass-001")


def test_a_batch_size_that_is_left_out_is_chosen_once_and_kept(make):
    workdir = make("work")
    trainer = RankingTrainer(_config(batch_size=None), workdir)
    assert trainer.config.training.batch_size == 128
    assert read_json(workdir.path("ranking_sizes.json"))["batch_size"] == 128
    assert read_json(workdir.path("sizes.json")) is None


@pytest.mark.long
def test_a_checkpoint_of_other_layers_is_refused_and_one_of_other_weights_of_heads_is_not(make):
    workdir = make("work")
    _train(_config(), workdir, DAYS[:1])
    with pytest.raises(InputError, match="made by another configuration"):
        RankingTrainer(config_of(layers=[4], training=TRAINING), workdir)
    other = config_of(training=TRAINING, candidates=7, heads={"watch_time": {"weight": 0.5}})
    assert RankingTrainer(other, workdir).last_day == DAYS[0]


def test_a_loss_that_is_not_finite_fails_the_day_and_leaves_no_checkpoint(make):
    workdir = make("work")
    wild = _config(optimizer={"kind": "sgd", "learning_rate": 1e30})
    with pytest.raises(JobError, match=r"again with --set ranking\.optimizer\.learning_rate=1e"):
        _train(wild, workdir, DAYS[:2])
    assert workdir.days(RANKING_CHECKPOINTS) == []


@pytest.mark.long
def test_scalars_are_written_beside_those_of_retrieval(make):
    workdir = make("work")
    _train(_config(tensorboard=True), workdir, DAYS[:1])
    folder = workdir.path("tensorboard", "ranking")
    (file,) = tf.io.gfile.listdir(folder)
    tags = {
        value.tag
        for event in tf.compat.v1.train.summary_iterator(f"{folder}/{file}")
        for value in event.summary.value
    }
    assert tags == {"loss/batch", "loss/day"}
