"""The losses of the configuration: defaults, parameters of the kind, mistakes named."""

import pytest

from twotower_tf.binding import model_fingerprint
from twotower_tf.config.registries import LOSSES
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

DEMO = "configs/demo.yaml"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch, request):
    monkeypatch.chdir(request.config.rootpath)


@pytest.mark.parametrize("kind", LOSSES.sections)
def test_every_kind_can_be_chosen_with_its_defaults(kind):
    assert load_config(DEMO, [f"loss={{kind: {kind}}}"]).loss.kind == kind


def test_without_a_kind_the_loss_is_the_refined_softmax():
    assert load_config(DEMO, ["loss={temperature: 0.3}"]).loss.model_dump() == {
        "kind": "refined_softmax",
        "temperature": 0.3,
    }
    assert LOSSES.parse({}).kind == "refined_softmax"


def test_parameters_of_each_kind_are_read():
    def loss(text):
        return load_config(DEMO, [f"loss={text}"]).loss

    assert loss("{kind: pointwise, negatives: 3}").negatives == 3
    assert loss("{kind: pairwise_hinge, margin: 0.4}").margin == 0.4
    learned = loss("{temperature: {learned: true, start: 0.1}}").temperature
    assert (learned.start, learned.least, learned.most) == (0.1, 0.01, 1.0)
    gramian = loss("{kind: mse_gramian, gravity: 0.5, rate: 0.2}")
    assert (gramian.gravity, gramian.rate) == (0.5, 0.2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{kind: corected_softmax}", "loss: unknown kind 'corected_softmax'; did you mean 'corr"),
        ("{kind: pairwise_hinge, temperature: 0.1}", "loss: unknown key 'temperature' .*margin"),
        ("{kind: corrected_softmax, margin: 0.1}", "loss: unknown key 'margin'"),
        ("{kind: pointwise, negatives: 4}", "loss.negatives: Input should be 2 or 3, got 4"),
        ("{kind: pairwise_hinge, margin: 3}", "loss.margin: .*less than or equal to 2, got 3"),
        ("{kind: mse_gramian, rate: 0}", "loss.rate: .*greater than 0, got 0"),
        ("{kind: mse_gramian, gravity: .inf}", "loss.gravity: .*finite"),
        ("{kind: plain_softmax, temperature: .nan}", "loss.temperature: "),
        ("{temperature: 0}", "loss.temperature: .*greater than 0, got 0"),
        ("{temperature: {learned: false}}", "loss.temperature.learned: .*got False"),
        ("{temperature: {learned: true, start: 2}}", "loss.temperature: start must lie .* got 2"),
        ("{temperature: {learned: true, end: 2}}", "loss.temperature: unknown key 'end'"),
        ("{kind: [1]}", r"loss: unknown kind \[1\]"),
        ("plain_softmax", "loss: .*got 'plain_softmax'"),
    ],
)
def test_mistakes_name_the_key_and_what_is_allowed(given, message):
    with pytest.raises(InputError, match=message) as error:
        load_config(DEMO, [f"loss={given}"])
    assert "\n" not in str(error.value)


def test_the_loss_may_change_in_the_life_of_a_model():
    prints = {
        model_fingerprint(load_config(DEMO, [f"loss={text}"]))
        for text in ("{kind: pointwise}", "{kind: pointwise, negatives: 3}", "{kind: mse_gramian}")
    }
    assert len(prints) == 1
