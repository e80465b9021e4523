"""Figure 6 of Covington et al. 2016: the configurations of its cells, and their averages."""

import itertools

import pytest

from benchmarks import features_and_depth as study
from twotower_tf.config import Config
from twotower_tf.config_loader import load_config


def names(tower) -> list[str]:
    return [feature.name for feature in tower.features]


def test_each_set_of_features_has_those_of_the_one_before_and_the_last_has_all():
    demo = load_config("configs/demo.yaml")
    cells = [study.configuration(features, [], 1) for features in study.FEATURES]
    for side in ("query", "candidate"):
        sets = [set(names(getattr(cell, side))) for cell in cells]
        assert sets == sorted(sets, key=len)
        assert all(fewer <= more for fewer, more in itertools.pairwise(sets))
        assert names(getattr(cells[-1], side)) == names(getattr(demo, side))
    assert names(cells[0].query) == ["history"]
    assert names(cells[0].candidate) == ["item_id"]
    assert set(cells[0].tables) == {"items"}


@pytest.mark.parametrize("features", study.FEATURES)
def test_a_cell_is_a_valid_configuration_with_its_hidden_layers(features):
    for hidden in study.HIDDEN:
        both = study.configuration(features, hidden, 3, both=True)
        assert both.query.layers == both.candidate.layers == [*hidden, 32]
        config = study.configuration(features, hidden, 3, passes=2)
        assert (config.query.layers, config.candidate.layers) == ([*hidden, 32], [32])
        assert (config.seed, config.training.passes_per_day) == (3, 2)
        assert Config.model_validate(config.model_dump(mode="json")) == config


def test_figures_are_means_over_days_and_then_over_seeds():
    def day(reciprocal_rank: float, recall: float) -> dict:
        return {"methods": {"model": {"mrr": reciprocal_rank, "recall": {"10": recall}}}}

    runs = [[day(0.1, 0.5), day(0.3, 0.5)], [day(0.3, 0.1), day(0.5, 0.3)]]
    figures = study._figures(runs, [10])
    assert figures["map"] == {
        "mean": pytest.approx(0.3),
        "standard_error": pytest.approx(0.1),
    }
    assert figures["recall"]["10"]["mean"] == pytest.approx(0.35)


def test_the_figure_is_a_picture(tmp_path):
    cell = {"map": {"mean": 0.1, "standard_error": None}}
    study.draw({features: [cell] * 4 for features in study.FEATURES}, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
