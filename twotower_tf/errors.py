"""The two ways a job ends badly; ``pipelines.command`` turns each into one line and a status."""


class InputError(ValueError):
    """Flags, configuration or input are wrong: exit status 2, and nothing was changed."""


class JobError(RuntimeError):
    """A job failed, or a gate held the release back: exit status 1."""
