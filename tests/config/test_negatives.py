"""The section on negatives: what fits which loss."""

import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

DEMO = "configs/demo.yaml"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["negatives={uniform: 7}"], "negatives.uniform is for loss.kind: mixed_softmax, got"),
        (
            ["negatives={hard: {}}", "loss={kind: pointwise}"],
            "negatives.hard is for the softmax losses, got loss.kind: pointwise",
        ),
        (
            ["negatives={explicit: 1}", "loss={kind: mse_gramian}"],
            "negatives.explicit is for the softmax losses",
        ),
        (
            ["negatives={explicit: 1}", "examples.reward=null"],
            "negatives.explicit is for examples of reward 0, .* without examples.reward",
        ),
        (
            ["negatives={explicit: 1}", "examples.min_reward=0.1"],
            "negatives.explicit .* of which examples.min_reward 0.1 makes none",
        ),
        (["negatives={explicit: -1}"], "negatives.explicit: .*greater than or equal to 0, got -1"),
        (["negatives={hard: {to_rank: 12}}"], "from_rank 10 to to_rank 12 must be at least count"),
        (["negatives={hard: {ranks: 12}}"], "negatives.hard: unknown key 'ranks'"),
    ],
)
def test_what_does_not_fit_is_refused(overrides, message):
    reward = "examples.reward={column: watched_seconds}"
    with pytest.raises(InputError, match=message):
        load_config(DEMO, [reward, *overrides])
