"""Settings for all tests, and what several folders of them share: an S3 server, a shop."""

import contextlib
import gc
import itertools
import os
import socket
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, settings

# Its assertions are those of several tests.
pytest.register_assert_rewrite("tests.event_definition")

# No test may depend on the speed of the machine, nor fail on one day and pass on the next.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_collection_finish():
    """Spares the garbage collector what stays: modules, and what TensorFlow keeps of each graph.

    Tracing makes so many objects that looking for cycles among them took a tenth of it or more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_unconfigure():
    """Lets what was spared go in order: TensorFlow's graphs before its modules."""
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def hasty_disk():
    """Lets no test wait until the disk has what was written, but those of ``tests/storage``.

    Whoever asks what was flushed asks by the calls of ``os.fsync``, which are made all the same.
    Yields the real one.
    """
    real = os.fsync
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda opened: os.fstat(_number(opened)) and None)
        yield real


def _number(opened) -> int:
    return opened if isinstance(opened, int) else opened.fileno()


class S3Server:
    """moto's S3 server in a process of its own, and the environment that leads to it."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        moto = os.path.join(os.path.dirname(sys.executable), "moto_server")
        self._process = subprocess.Popen(
            [moto, "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key-of-the-tests",
            "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        self._numbers = itertools.count()
        self._await(port)

    def _await(self, port: int) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                return
            time.sleep(0.1)
        raise RuntimeError("moto_server did not start")

    def make_bucket(self) -> str:
        """Makes a new bucket; returns its URL."""
        from twotower_tf.storage import connection

        name = f"bucket-{next(self._numbers)}"
        connection.objects_client().create_bucket(Bucket=name)
        return f"s3://{name}"

    def stop(self) -> None:
        """Ends the server."""
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="session")
def s3_server():
    """A server that speaks S3, which the environment of this process names from now on."""
    server = S3Server()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture
def bucket(s3_server) -> str:
    """The URL of an empty bucket."""
    return s3_server.make_bucket()


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """``tests.shop.Shop``; its releases are to be read, not to be changed."""
    from tests.shop import Shop

    return Shop(tmp_path_factory.mktemp("shop"))
