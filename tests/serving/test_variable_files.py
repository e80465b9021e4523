"""Variables in two parts: whatever the number of data files, the model loads and has its values."""

import itertools
import os

import numpy as np
import pytest

from twotower_tf.serving import variable_files

# isort: split
import tensorflow as tf

VALUES = {"small": [1.0], "large": np.arange(40.0), "texts": ["a", "", "щит"]}


def _save(folder: str) -> None:
    module = tf.Module()
    for name, value in VALUES.items():
        setattr(module, name, tf.Variable(value))
    module.own = tf.Module()
    module.own.rows = tf.Variable(tf.zeros([0, 2]), shape=[None, 2])
    module.own.ids = tf.Variable(["x"], shape=[None])
    module.values = tf.function(
        lambda: {
            **{name: getattr(module, name).read_value() for name in VALUES},
            "rows": module.own.rows.read_value(),
            "ids": module.own.ids.read_value(),
        },
        input_signature=[],
    )
    tf.saved_model.save(module, folder, signatures={"values": module.values})


def _loaded(folder: str) -> dict:
    loaded = tf.saved_model.load(folder)
    return {name: value.numpy() for name, value in loaded.signatures["values"]().items()}


def _files(folder: str) -> list[str]:
    return sorted(os.listdir(os.path.join(folder, "variables")))


@pytest.mark.parametrize(("at_a_time", "groups"), [(1 << 20, 1), (100, 2), (1, 4)])
def test_a_module_can_be_replaced_again_and_again(tmp_path, monkeypatch, at_a_time, groups):
    monkeypatch.setattr(variable_files, "_BYTES_AT_A_TIME", at_a_time)
    folders = [str(tmp_path / name) for name in ("built", "first", "second")]
    _save(folders[0])
    before = _loaded(folders[0])
    variable_files.divide(folders[0], "own")
    assert len(_files(folders[0])) == groups + 2
    for name, value in _loaded(folders[0]).items():
        np.testing.assert_array_equal(value, before[name])
    for number, (old, new) in enumerate(itertools.pairwise(folders), start=1):
        os.makedirs(new)
        os.link(os.path.join(old, "saved_model.pb"), os.path.join(new, "saved_model.pb"))
        values = {"rows": np.full((number, 2), 7, np.float32), "ids": np.array(["y"] * number)}
        variable_files.replace(old, new, "own", values)
        assert _files(new) == _files(folders[0])
        got = _loaded(new)
        for name in VALUES:
            np.testing.assert_array_equal(got[name], before[name])
        np.testing.assert_array_equal(got["rows"], values["rows"])
        assert got["ids"].tolist() == [b"y"] * number
        np.testing.assert_array_equal(variable_files.read_all(new, "own")["rows"], values["rows"])
        for name in _files(new)[:-2]:
            paths = [os.path.join(one, "variables", name) for one in (old, new)]
            assert os.path.samefile(*paths)
    # What the old ones are made of was not touched.
    assert _loaded(folders[0])["rows"].shape == (0, 2)
    assert _loaded(folders[1])["rows"].shape == (1, 2)
