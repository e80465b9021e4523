"""The tiny deployment of the example build, to check its source."""

import datetime

import pytest

# Fixtures, found by their names.
from tests.examples.conftest import Deployment, days, deployment, make_event, make_item  # noqa: F401
from twotower_tf.errors import InputError
from twotower_tf.inspection.findings import Findings
from twotower_tf.inspection.source_check import check_source


@pytest.fixture
def check(deployment):  # noqa: F811
    """The function that checks the deployment's source; its day, how many records, examples."""

    def checked(date: datetime.date | None = None, most: int = 100_000, **examples) -> Findings:
        config, before = deployment.config(**examples), tree(deployment)
        findings = check_source(config, str(deployment.source), date, most)
        assert tree(deployment) == before
        return findings

    return checked


def tree(made: Deployment) -> dict:
    """Returns all that is below a deployment's folder."""
    return {
        path: (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in made.root.rglob("*")
    }


@pytest.fixture
def build_refuses(deployment):  # noqa: F811
    """The function that builds a day and returns why it was refused, None if it was not."""

    def refused(date: datetime.date, **examples) -> str | None:
        try:
            deployment.build([date], **examples)
        except InputError as error:
            return str(error)
        return None

    return refused
