"""Table 1 of Covington et al. 2016: the configurations of its rows, and their averages."""

import pytest

from benchmarks import ranking_depth as study
from twotower_tf.binding import examples_fingerprint


@pytest.mark.parametrize("row", study.ROWS)
def test_a_row_has_its_keys_and_the_examples_of_all_others(row):
    config = study.configuration(row, 3, passes=2)
    for key, value in study.ROWS[row].items():
        assert getattr(config.ranking, key) == value
    assert (config.seed, config.ranking.training.passes_per_day) == (3, 2)
    first = examples_fingerprint(study.configuration("none", 3))
    assert examples_fingerprint(config) == first


def test_a_loss_is_the_mean_over_days_and_then_over_seeds():
    def day(loss: float) -> dict:
        return {"methods": {"model": {"user_loss": loss}}}

    figure = study.loss_of([[day(0.1), day(0.3)], [day(0.3), day(0.5)]], "model")
    assert figure.mean == pytest.approx(30)
    assert figure.standard_error == pytest.approx(10)


def test_every_row_of_the_paper_is_there():
    assert set(study.PUBLISHED) <= set(study.ROWS)


def test_the_table_is_a_picture_too(tmp_path):
    losses = {
        "mean watch time": {"mean": 27.0, "standard_error": None},
        "none": {"mean": 18.0, "standard_error": 0.2},
    }
    study.draw(losses, tmp_path / "depth.png")
    assert (tmp_path / "depth.png").read_bytes().startswith(b"\x89PNG")
