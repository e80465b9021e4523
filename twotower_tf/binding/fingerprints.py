"""Fingerprints of what examples and checkpoints depend on, as their manifests have them."""

import hashlib
import json

from twotower_tf.binding.keys import values
from twotower_tf.binding.migrations import SCHEMA
from twotower_tf.config import Config
from twotower_tf.config.section import Touches


def examples_fingerprint(config: Config) -> str:
    """Returns that of what the examples depend on."""
    return _fingerprint(_said(config, Touches.EXAMPLES))


def model_fingerprint(config: Config) -> str:
    """Returns that of what a checkpoint of the two towers depends on: not what ranks."""
    model = _said(config, Touches.MODEL)
    return _fingerprint([_said(config, Touches.EXAMPLES), _without(model, "ranking")])


def ranking_fingerprint(config: Config) -> str:
    """Returns that of what a checkpoint of the ranking model depends on: not the estimator."""
    model = _said(config, Touches.MODEL)
    return _fingerprint([_said(config, Touches.EXAMPLES), _without(model, "estimator")])


def is_same(written: str, own: str) -> bool:
    """Says whether a manifest's fingerprint may be that of a configuration.

    One of another version of the package says nothing: what the work directory is bound to was
    compared when it was opened, key by key (``bind``).
    """
    return written == own or not written.startswith(_prefix())


def _said(config: Config, touches: Touches) -> dict:
    # Without defaults: those that a newer version adds change nothing.
    return values(config, [touches], without_defaults=True)


def _without(model: dict, section: str) -> dict:
    return {name: value for name, value in model.items() if name != section}


def _fingerprint(told) -> str:
    text = json.dumps(told, sort_keys=True)
    return _prefix() + hashlib.sha256(text.encode()).hexdigest()


def _prefix() -> str:
    return f"{SCHEMA}-"
