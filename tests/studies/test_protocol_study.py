"""The protocol of Yi et al. 2019: its averages, its losses, and what is written of it."""

import datetime
import json

import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError
from twotower_tf.studies.protocol_plan import check_days, with_losses
from twotower_tf.studies.protocol_report import as_table, write_study
from twotower_tf.studies.protocol_study import ProtocolStudy

_CORRECTED = "loss={kind: corrected_softmax, temperature: 0.06}"
DAYS = [datetime.date(2026, 1, day) for day in range(1, 32)]


@pytest.fixture(scope="module")
def config():
    """The demo's, with a corrected softmax of temperature 0.06 and no backfill."""
    return load_config("configs/demo.yaml", [_CORRECTED, "training.backfill=null"])


def measured(*recalls: float | None) -> list[dict]:
    """Returns what is measured of days on which the model reaches these recalls."""
    return [
        {
            "held_out": 0 if recall is None else 10,
            "methods": {
                "model": {"recall": {"5": recall}},
                "most_popular": {"recall": {"5": recall and 0.05}},
            },
        }
        for recall in recalls
    ]


@pytest.fixture
def study(config):
    """Two losses, two seeds, three days, on one of which nothing was held out."""
    runs = {
        "corrected_softmax": {1: measured(0.4, None, 0.6), 2: measured(0.2, None, 0.4)},
        "plain_softmax": {1: measured(0.1, None, 0.3), 2: measured(0.1, None, 0.3)},
    }
    return ProtocolStudy(DAYS[:15], DAYS[15:18], [5], with_losses(config, list(runs)), runs)


def test_recall_is_the_mean_over_days_and_then_over_seeds(study):
    corrected, plain = (study.recall(kind, 5) for kind in study.runs)
    assert corrected.mean == pytest.approx((0.5 + 0.3) / 2)
    assert corrected.standard_error == pytest.approx(0.1)
    assert (plain.mean, plain.standard_error) == (pytest.approx(0.2), 0.0)
    assert study.ratio_to_plain("corrected_softmax", 5) == pytest.approx(2.0)
    assert study.recall_by_day("corrected_softmax", 5) == [
        pytest.approx(0.3),
        None,
        pytest.approx(0.5),
    ]
    assert study.held_out == [10, 0, 10]


def test_without_a_plain_softmax_there_is_no_ratio(study):
    del study.runs["plain_softmax"]
    assert study.ratio_to_plain("corrected_softmax", 5) is None
    assert as_table(study).splitlines()[1].split()[-1] == "-"


def test_what_is_written_are_the_figures_and_a_page_with_a_chart(study, tmp_path):
    page = write_study(study, str(tmp_path))
    written = json.loads((tmp_path / "protocol.json").read_text())
    corrected = written["losses"]["corrected_softmax"]
    assert corrected["recall"]["5"]["mean"] == pytest.approx(0.4)
    assert corrected["ratio_to_plain"]["5"] == pytest.approx(2.0)
    assert corrected["by_seed_and_day"]["2"]["5"] == [0.2, None, 0.4]
    assert written["most_popular"]["5"] == pytest.approx(0.05)
    assert (written["caught_up"][-1], written["measured"][0]) == ("2026-01-15", "2026-01-16")
    with open(page, encoding="utf-8") as file:
        text = file.read()
    assert text.count("<svg") == 1
    assert "0.4000 ± 0.1000" in text


def test_losses_take_the_temperature_of_the_configuration_where_they_have_one(config):
    kinds = ["corrected_softmax", "refined_softmax", "mixed_softmax", "mse_gramian"]
    losses = [one.loss.model_dump() for one in with_losses(config, kinds).values()]
    assert losses[0] == config.loss.model_dump()
    assert losses[1] == {"kind": "refined_softmax", "temperature": 0.06}
    assert losses[2] == {"kind": "mixed_softmax", "temperature": 0.06}
    assert losses[3] == {"kind": "mse_gramian", "gravity": 1.0, "rate": 0.01}


def test_too_few_days_and_backfills_that_end_too_late_are_refused(config):
    check_days(config, DAYS[:22])
    with pytest.raises(InputError, match=r"needs 22 days, .* give 21"):
        check_days(config, DAYS[:21])
    for fits, late in (("days: 15", "days: 16"), ("until: 2026-01-15", "until: 2026-01-16")):
        backfilled, too_late = (
            load_config("configs/demo.yaml", [f"training.backfill={{{one}}}"])
            for one in (fits, late)
        )
        check_days(backfilled, DAYS[:22])
        with pytest.raises(InputError, match="must end by 2026-01-15"):
            check_days(too_late, DAYS[:22])


def test_losses_that_are_unknown_or_do_not_fit_are_refused(config):
    with pytest.raises(InputError, match=r"--losses: unknown kind 'softmax'; .*plain_softmax"):
        with_losses(config, ["softmax"])
    with pytest.raises(InputError, match="give at least one"):
        with_losses(config, [])
    mixed = load_config(
        "configs/demo.yaml", ["loss={kind: mixed_softmax}", "negatives={uniform: 64}"]
    )
    with pytest.raises(InputError, match=r"--losses: mse_gramian: negatives\.uniform"):
        with_losses(mixed, ["mixed_softmax", "mse_gramian"])
