#!/usr/bin/env python3
"""A training set in DuckDB and in Tiderace: twelve windowed features of every payment of a file.

Installs DuckDB from PyPI into the cache, makes the training set by both in turns, compares every
value of every row, and prints the processor time of both. DuckDB reads and writes the same files, with
RANGE windows of the same edges; what each takes over an empty file is subtracted.

A ratio is printed only where every value was equal (doubles to 1e-9 of themselves).

    benches/peers/duckdb/history.py PAYMENTS.parquet [--rounds 3] [--threads 1]
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

DUCKDB = "2.0.1"
ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tiderace"
HOME = CACHE / "duckdb"

DEFINITIONS = """
kind: source
name: payments
stream: embedded
columns: { tx_id: int64, tx_time: timestamp, customer_id: int64, terminal_id: int64, amount: float64, is_fraud: int64 }
event_time: tx_time
event_id: tx_id
archive: { parquet: "%s", write: false }
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: entity
name: terminal
keys: { terminal_id: int64 }
---
kind: feature_view
name: spend
entity: customer
source: payments
features:
  - { name: count, aggregate: count, windows: [1d, 7d, 30d] }
  - { name: amount, aggregate: avg, of: amount, windows: [1d, 7d, 30d] }
---
kind: feature_view
name: risk
entity: terminal
source: payments
features:
  - { name: count, aggregate: count, windows: [1d, 7d, 30d], delay: 7d }
  - { name: risk, aggregate: avg, of: is_fraud, windows: [1d, 7d, 30d], delay: 7d }
---
kind: feature_service
name: all
features: ["spend:*", "risk:*"]
"""

NAMES = [f"{name}_{size}d" for name in ("count", "amount") for size in (1, 7, 30)]
NAMES += [f"{name}_{size}d_delay_7d" for name in ("count", "risk") for size in (1, 7, 30)]


def query(source, target):
    """The same twelve features. DuckDB's RANGE frames include their left edge, ours do not: so they
    begin a microsecond later."""
    def frame(key, size, delay):
        left = f"(interval {size + delay} day - interval 1 microsecond)"
        right = f"interval {delay} day preceding" if delay else "current row"
        return (f"(partition by {key} order by tx_time range between {left} preceding and {right})")

    columns, windows = [], []
    for who, key, delay, what in (("spend", "customer_id", 0, "amount"), ("risk", "terminal_id", 7, "is_fraud")):
        suffix = f"_delay_{delay}d" if delay else ""
        name = "amount" if who == "spend" else "risk"
        for size in (1, 7, 30):
            windows.append(f"{who}{size} as {frame(key, size, delay)}")
            columns.append(f"count(*) over {who}{size} as count_{size}d{suffix}")
        for size in (1, 7, 30):
            columns.append(f"avg({what}) over {who}{size} as {name}_{size}d{suffix}")
    return (f"copy (select *, {', '.join(columns)} from '{source}' window {', '.join(windows)}) "
            f"to '{target}' (format parquet, compression snappy)")


def install():
    python = HOME / f"venv-{DUCKDB}/bin/python"
    if not python.exists():
        venv = HOME / f"venv-{DUCKDB}"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"duckdb=={DUCKDB}"], check=True)
    return python


def ran(command):
    """Runs a command; gives what it used and what it printed."""
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen([str(part) for part in command], stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        if child.returncode != 0:
            sys.exit(f"{command}: exit code {child.returncode}\n{said.read()}")
        return usage, said.read()


def seconds_of(usage):
    """The processor seconds of all threads."""
    return usage.ru_utime + usage.ru_stime


def measured(command):
    """Runs a command; gives its processor seconds and what it printed."""
    usage, said = ran(command)
    return seconds_of(usage), said


def compare(python, one, other):
    """How many rows there are, and in how many of them any value differs."""
    differ = " or ".join(
        f"(a.{n} is null) <> (b.{n} is null) or abs(a.{n} - b.{n}) > 1e-9 * abs(a.{n})" for n in NAMES
    )
    script = (
        "import duckdb; print(*duckdb.sql(\"select count(*), count(*) filter (where " + differ + ") "
        f"from '{one}' a full join '{other}' b using (tx_id)\").fetchall()[0])"
    )
    _, said = measured([python, "-c", script])
    rows, unequal = map(int, said.split()[-2:])
    return rows, unequal


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("payments", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    python = install()
    binary = subprocess.run([ROOT / "scripts/tiderace", "--where"], check=True, capture_output=True, text=True)
    binary = binary.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        payments = arguments.payments.resolve()
        empty = folder / "empty.parquet"
        measured([python, "-c", f"import duckdb; duckdb.sql(\"copy (select * from '{payments}' limit 0) to '{empty}' (format parquet)\")"])

        def duckdb(source, target):
            script = f"import duckdb; c = duckdb.connect(); c.execute('set threads = {arguments.threads}'); c.execute({query(source, target)!r})"
            return measured([python, "-c", script])[0]

        def tiderace(source, target):
            project = folder / f"project-{source.stem}"
            project.mkdir(exist_ok=True)
            (project / "tiderace.yaml").write_text("project: history\n")
            (project / "definitions.yaml").write_text(DEFINITIONS % source)
            return measured([binary, "history", "--project", project, "--service", "all", "--spine", source,
                             "--out", target, "--timestamp", "tx_time", "--threads", arguments.threads])[0]

        figures = {"duckdb": [], "tiderace": []}
        for _ in range(arguments.rounds):
            for name, run in (("duckdb", duckdb), ("tiderace", tiderace)):
                alone = run(empty, folder / f"{name}-empty.parquet")
                figures[name].append(run(payments, folder / f"{name}.parquet") - alone)
        rows, unequal = compare(python, folder / "duckdb.parquet", folder / "tiderace.parquet")
        for name, seconds in figures.items():
            median = statistics.median(seconds)
            print(f"{name}: {rows / median:,.0f} rows per CPU-second (median of {len(seconds)}: {median:.2f} s)")
        print(f"{rows} rows of {len(NAMES)} features, {unequal} of them unequal")
        if unequal:
            sys.exit("no ratio: the answers differ")
        ratios = [theirs / ours for theirs, ours in zip(figures["duckdb"], figures["tiderace"])]
        print(f"tiderace: {statistics.median(ratios):.1f} times the rows per CPU-second")


if __name__ == "__main__":
    main()
