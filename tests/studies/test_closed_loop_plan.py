"""What a closed loop needs is said before anything heavy is loaded."""

import shutil

import pytest

from twotower_tf.errors import InputError
from twotower_tf.studies.closed_loop_plan import Arm, bind, check_sizes, read_arms

CONFIG = "configs/demo.yaml"
SIZES = {"seed": 17, "days": 3, "pages_per_day": 100}


def test_arms_are_named_after_their_files_and_told_apart(tmp_path):
    other = tmp_path / "other.yaml"
    shutil.copy(CONFIG, other)
    arms = read_arms([CONFIG, str(other), CONFIG, CONFIG], ["seed=3"])
    assert [arm.name for arm in arms] == ["demo", "other", "demo-2", "demo-3"]
    assert {arm.config.seed for arm in arms} == {3}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_arms([CONFIG]), "--arms: give at least two configurations"),
        (lambda: read_arms([]), "--arms: give at least two configurations"),
        (lambda: read_arms([CONFIG, "nowhere.yaml"]), "nowhere.yaml"),
        (lambda: check_sizes({**SIZES, "days": 1}), "--days=1: give at least 2"),
        (lambda: check_sizes({**SIZES, "pages_per_day": 0}), "--pages_per_day=0: give at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_folder_is_bound_to_its_arms_and_sizes(tmp_path):
    arms = read_arms([CONFIG, CONFIG])
    for _ in range(2):
        bind(str(tmp_path), arms, SIZES)
    with pytest.raises(InputError, match="was begun with another --days; give a new --out"):
        bind(str(tmp_path), arms, {**SIZES, "days": 4})
    changed = [arms[0], Arm(arms[1].name, arms[1].config.model_copy(update={"seed": 5}))]
    with pytest.raises(InputError, match="another configuration of demo-2; give"):
        bind(str(tmp_path), changed, SIZES)
    with pytest.raises(InputError, match="another --arms, configuration of third"):
        bind(str(tmp_path), [*arms, Arm("third", arms[0].config)], SIZES)
