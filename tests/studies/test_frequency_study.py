"""The estimator study: its streams and peers against plain counting, and its figures."""

import json

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
from twotower_tf.studies import frequency_report as study_report
from twotower_tf.studies import frequency_streams as study_streams
from twotower_tf.studies import frequency_study as study
from twotower_tf.studies.frequency_peers import DecayedCountMinSketch, SlidingWindow
from twotower_tf.studies.frequency_streams import BATCH, ITEMS


def test_batches_hold_distinct_items_that_the_catalogue_has():
    for stream in (
        study_streams.switching_stream(2000, seed=1),
        study_streams.stream_of_new_items(2000, seed=1),
    ):
        assert stream.batches.shape == (200, 10, BATCH)
        for period in range(0, 200, 37):
            for batch in stream.batches[period]:
                assert len(set(batch.tolist())) == BATCH
                assert set(batch.tolist()) <= set(stream.ids[period].tolist())


def test_items_are_drawn_as_often_as_the_paper_says_and_the_order_turns_round_half_way():
    stream = study_streams.switching_stream(4000, seed=2)
    weights = np.arange(ITEMS) ** 2.0
    expected = BATCH * weights / weights.sum()
    halves = stream.batches.reshape(2, -1)
    for half, order in zip(halves, (1, -1), strict=True):
        counted = np.bincount(half, minlength=ITEMS)[::order] / 2000
        # B q_i is not quite the probability to be drawn without replacement: 0.024 by the paper's
        # measure; counting over 2000 steps adds 0.02 of noise.
        assert np.abs(counted - expected).sum() / (2 * BATCH) < 0.035
    np.testing.assert_allclose(stream.truth[0], expected)
    np.testing.assert_allclose(stream.truth[-1], expected[::-1])


def test_new_items_come_every_ten_steps_and_take_over_a_frequency():
    stream = study_streams.stream_of_new_items(2000, seed=3)
    for before, after in zip(stream.ids[:-1], stream.ids[1:], strict=True):
        assert (before != after).sum() == 1
    assert stream.id_count == ITEMS + 200
    first = stream.first_periods()
    for item in range(ITEMS, stream.id_count):
        where = np.flatnonzero((stream.batches == item).any(axis=(1, 2)))
        assert first[item] == (where[0] if where.size else 200)
        assert first[item] >= item - ITEMS


def test_sliding_window_counts_exactly():
    generator = np.random.default_rng(0)
    window = SlidingWindow(id_count=30, steps=7, batch=5)
    batches = []
    for _ in range(20):
        batches.append(generator.permutation(30)[:5])
        window.update(batches[-1])
        last = batches[-7:]
        expected = [sum(item in batch for batch in last) / len(last) for item in range(30)]
        np.testing.assert_allclose(window.probabilities(np.arange(30)), expected)


def test_count_min_sketch_decays_and_only_overestimates():
    generator = np.random.default_rng(0)
    wide, narrow = (DecayedCountMinSketch(30, 4, width, 10, seed=1) for width in (10_000, 12))
    counts, batches = np.zeros(30), 0.0
    for _ in range(40):
        batch = generator.permutation(30)[:5]
        for sketch in (wide, narrow):
            sketch.update(batch)
        counts *= 0.9
        counts[batch] += 1
        batches = 0.9 * batches + 1
    everything = np.arange(30)
    np.testing.assert_allclose(wide.probabilities(everything), counts / batches, rtol=1e-5)
    assert (narrow.probabilities(everything) >= counts / batches - 1e-6).all()


class Oracle:
    """A peer that says what it is told to say."""

    bytes = 0

    def __init__(self, said):
        self.said = said

    def update(self, ids):
        pass

    def probabilities(self, ids):
        return self.said[ids]


def test_error_is_half_the_absolute_error_over_the_batch_size():
    stream = study_streams.switching_stream(2000, seed=1)
    errors = study.errors(Oracle(stream.truth[0]), stream)
    assert errors[:100].tolist() == [0.0] * 100
    swapped = np.abs(stream.truth[0] - stream.truth[-1]).sum() / 256
    np.testing.assert_allclose(errors[100:], swapped)


def test_new_item_error_is_that_of_items_first_seen_in_the_last_1000_steps():
    stream = study_streams.stream_of_new_items(2000, seed=3)
    zero = study.new_item_errors(Oracle(np.zeros(stream.id_count)), stream)
    assert np.isnan(zero[:100]).all()
    # Estimates of 0 are wrong by all of p; right ones for the old, 0 for the new: no less.
    np.testing.assert_allclose(zero[100:], 0.5)
    first, period = stream.first_periods(), 150
    new = (first[stream.ids[period]] > 50) & (first[stream.ids[period]] <= period)
    said = np.zeros(stream.id_count)
    said[stream.ids[period]] = np.where(new, 0.0, stream.truth[period])
    assert study.new_item_errors(Oracle(said), stream)[period] == 0.5
    said[stream.ids[period]] = np.where(new, stream.truth[period], 0.0)
    assert study.new_item_errors(Oracle(said), stream)[period] == 0.0


def test_ours_settles_after_the_start_and_after_the_switch():
    stream = study_streams.switching_stream(2000, seed=1)
    errors = study.errors(AdaptiveFrequencyEstimator(study.BUCKETS), stream)
    for start in (0, 100):
        assert errors[start + 20] < 0.2
        assert errors[start + 60 : start + 100].mean() < 0.09


@pytest.mark.parametrize("steps", [0, 1000, 2500])
def test_a_number_of_steps_it_cannot_use_is_refused(steps):
    with pytest.raises(ValueError, match=f"multiple of 1000, at least 2000, got {steps}"):
        study.run_study(steps)


def curve(name, errors):
    return study.Curve(name, np.array(errors, float), 40_000)


@pytest.fixture
def found():
    """200 periods, switching at 100: errors that make the summary easy to work out."""
    best = np.full(200, 0.2)
    ours = np.full(200, 0.1)
    ours[:19] = 0.6  # Before step 200: not compared.
    ours[119] = 0.3  # 200 steps after the switch.
    curves = [curve("alpha = 0.02", best), curve("adaptive", ours)]
    newcomers = [curve("alpha = 0.02", best * 2), curve("adaptive", [np.nan] * 100 + [0.1] * 100)]
    return study.Study(
        2000,
        "alpha = 0.02",
        {
            name: {each.name: each for each in group}
            for name, group in (("alphas", curves), ("hashes", curves), ("new_items", newcomers))
        },
    )


def test_summary_is_worked_out_from_the_curves(found):
    summary = study_report.summarise(found)
    ours = summary["alphas"]["adaptive"]
    assert ours["mean_error"] == pytest.approx((19 * 0.6 + 180 * 0.1 + 0.3) / 200)
    assert ours["error_at_switch"] == pytest.approx(0.1)
    assert ours["error_after_switch"] == pytest.approx(0.3)
    assert ours["max_ratio_to_best"] == pytest.approx(1.5)
    assert summary["new_items"]["adaptive"]["new_item_error"] == pytest.approx(0.1)
    assert summary["new_items"]["adaptive"]["ratio_to_best"] == pytest.approx(0.25)


def test_report_is_a_folder_of_numbers_and_pictures(found, tmp_path):
    study_report.write_study(found, str(tmp_path / "new folder"))
    report = json.loads((tmp_path / "new folder" / "study.json").read_text())
    assert report["summary"] == study_report.summarise(found)
    assert report["curves"]["new_items"]["adaptive"][:101] == [None] * 100 + [0.1]
    for name in ("alphas", "hashes", "new_items"):
        assert (tmp_path / "new folder" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "alpha = 0.02 (best)" in study_report.as_table(found)
