"""The evaluation of days of impressions, and what the baselines know."""

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

# isort: split
from tests.ranking_batches import ITEMS, batch_of, config_of
from tests.ranking_days import DAYS, write_catalogue, write_day
from twotower_tf.errors import InputError
from twotower_tf.evaluation.ranking.item_watch_times import ItemWatchTimes
from twotower_tf.evaluation.ranking.measures import Impressions, measure
from twotower_tf.evaluation.ranking.stage import RankingStage
from twotower_tf.storage import Workdir, read_json
from twotower_tf.training.ranking_trainer import RankingTrainer
from twotower_tf.training.sequence import train_days

CONFIG = config_of(
    training={"batch_size": 16, "tensorboard": False},
    optimizer={"learning_rate": 0.3},
)


# The platform is simulated and its examples are built.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Workdir:
    folder = tmp_path_factory.mktemp("ranked")
    made = Workdir(str(folder / "work"))
    write_catalogue(made, CONFIG, folder)
    for day in DAYS:
        write_day(made, day, count=200, held_out=0 if day == DAYS[4] else 100)
    return made


def _held_out(day) -> dict:
    return batch_of(2 * day.toordinal() + 1, 100)


def _evaluate(workdir, day) -> dict:
    return RankingStage(CONFIG, workdir, at_or_before=day).evaluate(day)


def _train(workdir, days) -> None:
    list(train_days(CONFIG, workdir, days, kind=RankingTrainer))


def test_a_day_is_measured_before_and_after_training_on_it(workdir):
    with pytest.raises(InputError, match="train first"):
        _evaluate(workdir, DAYS[0])
    _train(workdir, DAYS[:2])
    before = _evaluate(workdir, DAYS[2])
    assert before["after"] is None
    _train(workdir, DAYS[2:3])
    found = _evaluate(workdir, DAYS[2])
    assert found["before"] == before["before"]
    assert found == read_json(workdir.metrics_path("evaluate_ranking", DAYS[2]))
    batch = _held_out(DAYS[2])
    after = found["after"]
    assert after["impressions"] == 100
    assert after["clicked"] == batch["clicked"].numpy().sum()
    assert (after["users"], after["pages"]) == (5, 25)
    names = ["model", "nomination_score", "most_clicked", "mean_watch_time"]
    assert list(after["methods"]) == names
    # Even items are watched, whoever sees them: the model learns it, the logged score is random.
    losses = {name: method["user_loss"] for name, method in after["methods"].items()}
    assert losses["model"] < losses["nomination_score"]
    assert sum(group["impressions"] for group in after["calibration"]["by_position"]) == 100


def test_baselines_rank_by_what_was_logged_and_counted(workdir):
    _train(workdir, DAYS[:3])
    methods = _evaluate(workdir, DAYS[2])["after"]["methods"]
    batch = _held_out(DAYS[2])
    texts = {
        name: np.array([one.decode() for one in batch[name].numpy()], object)
        for name in ("user_id", "item_id")
    }
    clicked = batch["clicked"].numpy() > 0
    shown = Impressions(
        texts["user_id"],
        texts["item_id"],
        batch["page"].numpy(),
        clicked,
        batch["watched_seconds"].numpy().astype(float),
    )
    logged = batch["impression"]["nomination_score"].numpy()
    assert methods["nomination_score"] == pytest.approx(measure(shown, logged))
    sums = _counted(DAYS[:3])
    clicks = np.array([sums[item][1] for item in shown.items])
    assert methods["most_clicked"] == pytest.approx(measure(shown, clicks))
    assert methods["mean_watch_time"] == pytest.approx(measure(shown, _means(sums, shown.items)))


def _counted(days) -> dict[str, np.ndarray]:
    """Returns impressions, clicks and seconds of each item over days."""
    sums = {item: np.zeros(3) for item in ITEMS}
    for day in days:
        batch = batch_of(2 * day.toordinal(), 200)
        columns = (
            batch[name].numpy() for name in ("item_id", "weight", "clicked", "watched_seconds")
        )
        for item, weight, clicked, seconds in zip(*columns, strict=True):
            sums[item.decode()] += weight * np.array([1, clicked, seconds])
    return sums


def _means(sums: dict[str, np.ndarray], items) -> np.ndarray:
    impressions, _, seconds = sum(sums.values())
    mean = seconds / impressions
    return np.array([(sums[item][2] + 20 * mean) / (sums[item][0] + 20) for item in items])


def test_watch_times_are_of_the_last_days_and_unknown_items_are_as_the_mean_of_all(workdir):
    known = ItemWatchTimes(workdir, days=2)
    for to in (DAYS[0], DAYS[2]):
        known.count_to(to)
        sums = _counted([day for day in DAYS[:3] if 0 <= (to - day).days < 2])
        np.testing.assert_allclose(known.mean_seconds(ITEMS), _means(sums, ITEMS), rtol=1e-4)
        np.testing.assert_allclose(known.clicks(ITEMS), [sums[item][1] for item in ITEMS])
    impressions, _, seconds = sum(sums.values())
    np.testing.assert_allclose(known.mean_seconds(["new"]), [seconds / impressions], rtol=1e-4)
    assert known.clicks(["new"]).tolist() == [0]


def test_a_day_without_held_out_impressions_has_nothing_to_measure(workdir):
    found = _evaluate(workdir, DAYS[4])["before"]
    assert found["impressions"] == 0
    assert set(found["methods"]["model"].values()) == {None}
