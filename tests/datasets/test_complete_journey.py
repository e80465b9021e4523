"""The files that are written of the package's tables."""

import datetime

import pyarrow.parquet as pq
import pytest

from tests.groceries_package import PRODUCTS, START, installed, purchases
from twotower_tf.datasets import complete_journey
from twotower_tf.errors import InputError

BOUGHT = purchases(60, days=3)


def test_each_day_has_its_purchases_in_the_order_of_time(tmp_path):
    source = tmp_path / "made" / "logs"
    # As a run that was killed leaves it.
    (tmp_path / "made" / "logs.unfinished" / "purchases" / "dt=2017-01-01").mkdir(parents=True)
    with installed(tmp_path / "package", BOUGHT):
        complete_journey.export(source, datetime.date(2017, 1, 4))
    assert sorted(path.name for path in source.iterdir()) == [
        "households.parquet", "products.parquet", "purchases",
    ]  # fmt: skip
    assert [path.name for path in source.parent.iterdir()] == ["logs"]
    assert pq.read_table(source / "products.parquet").num_rows == PRODUCTS - 1
    for day in range(4):
        date = START.date() + datetime.timedelta(days=day)
        table = pq.read_table(source / f"purchases/dt={date}/purchases.parquet")
        times = [time for time in BOUGHT["transaction_timestamp"] if time.date() == date]
        assert table["transaction_timestamp"].to_pylist() == sorted(times)
        assert not table.schema.metadata


def test_without_the_package_the_error_says_what_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(complete_journey, "PACKAGE", "no_such_package_is_installed")
    with pytest.raises(InputError, match="not installed; make groceries"):
        complete_journey.export(tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
