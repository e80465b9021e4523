"""A small world, for the tests of this folder."""

import datetime

import numpy as np

from twotower_tf.simulator.simulator import Simulator, SimulatorSettings

SMALL = SimulatorSettings(
    users=40,
    videos=300,
    uploads_per_day=10,
    channels=20,
    topics=5,
    events_per_day=3000,
    days=3,
)


def drawn(simulator: Simulator, date: datetime.date) -> np.ndarray:
    """Returns all events of a day."""
    return np.concatenate(list(simulator.events(date)))
