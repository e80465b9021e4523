"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# No test may depend on the speed of the machine, nor fail on one day and pass on the next.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
