"""Variants on shared examples: what is linked, and the means over runs."""

import datetime
import pathlib

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.storage import Workdir
from twotower_tf.studies.variants import Figure, share_examples

DAYS = [datetime.date(2026, 1, day) for day in (1, 2)]


@pytest.fixture
def built(tmp_path):
    """Two days of examples, the second unfinished, a catalogue of the first, and a checkpoint."""
    workdir = Workdir(str(tmp_path / "built"))
    for kind in ("examples", "catalogue", "checkpoints"):
        with workdir.partition(kind, DAYS[0]).write({"of": kind}) as folder:
            pathlib.Path(folder, "a").write_text(kind)
    (tmp_path / "built" / "examples" / f"dt={DAYS[1]}").mkdir()
    return workdir


def test_a_work_directory_that_shares_examples_has_what_was_built_and_no_more(built, tmp_path):
    shared = share_examples(built, str(tmp_path / "shared"))
    assert shared.days("examples") == shared.days("catalogue") == DAYS[:1]
    assert shared.days("checkpoints") == []
    assert pathlib.Path(shared.partition("examples", DAYS[0]).file("a")).read_text() == "examples"
    assert shared.partition("examples", DAYS[0]).manifest()["of"] == "examples"


def test_what_a_killed_call_linked_of_a_day_is_made_whole(built, tmp_path):
    half = tmp_path / "shared" / "examples" / f"dt={DAYS[0]}"
    half.mkdir(parents=True)
    (half / "a").hardlink_to(built.partition("examples", DAYS[0]).file("a"))
    for _ in range(2):
        shared = share_examples(built, str(tmp_path / "shared"))
        assert shared.days("examples") == DAYS[:1]


def test_figures_are_mean_and_standard_error():
    values = [0.1, 0.25, 0.4, 0.15]
    figure = Figure.of(values)
    assert figure.mean == pytest.approx(np.mean(values))
    assert figure.standard_error == pytest.approx(np.std(values, ddof=1) / 2)
    assert str(Figure.of([0.5])) == "0.5000"
    assert str(Figure.of([0.25, 0.75])) == "0.5000 ± 0.2500"
