"""The quality benchmark's data sets: their keys and flags are there."""

import pytest

from benchmarks import quality
from benchmarks.quality_data.sets import QUICK, SETS
from twotower_tf.config_loader import load_config

ALL = [*SETS.items(), *QUICK.items()]


@pytest.mark.parametrize(("name", "data"), ALL)
def test_a_set_is_of_a_configuration_that_is_right(name, data):
    config = load_config(data.config, list(data.overrides))
    assert data.start < data.window_start <= data.end
    if data.once:
        load_config(data.config, [*data.overrides, "evaluation.repeats=new"])
    if name == "leave_one_out":
        assert config.examples.reward is None
        assert config.source.events.columns.held_out == "held_out"
    assert not data.given or getattr(quality.parse([]), data.given).name
