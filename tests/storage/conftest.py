"""Places to store things: the disk, and an object store."""

import os

import pytest

from twotower_tf.storage import locks


@pytest.fixture(params=["disk", "s3"])
def root(request, tmp_path) -> str:
    """A folder, which may not be there yet, on each kind of store in turn."""
    if request.param == "disk":
        return str(tmp_path / "root")
    return f"{request.getfixturevalue('bucket')}/root"


@pytest.fixture(autouse=True)
def patient_disk(hasty_disk, monkeypatch):
    """Waits for the disk, as the jobs do."""
    monkeypatch.setattr(os, "fsync", hasty_disk)


@pytest.fixture
def hasty_locks(monkeypatch) -> str:
    """Makes locks on object stores run out soon; returns the code that does it elsewhere."""
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(locks, "EXPIRY_SECONDS", 2.0)
    return (
        "from twotower_tf.storage import locks\n"
        "locks.HEARTBEAT_SECONDS, locks.EXPIRY_SECONDS = 0.1, 2.0\n"
    )
