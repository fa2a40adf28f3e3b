#!/usr/bin/env python3
"""A backfill in Tiderace beside DuckDB sorting the same file by (customer, time) and writing it again.

Counts the processor time of both of our processes: the one that prepares, and the one that runs and takes the
events into its rows, until the view is whole. What each takes over an empty file is subtracted.

    benches/peers/duckdb/backfill.py PAYMENTS.parquet [--rounds 3] [--threads 1]
"""

import argparse
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from history import DEFINITIONS, ROOT, install, measured

ONE_VIEW = DEFINITIONS.split("---\nkind: feature_view\nname: risk")[0] + """---
kind: feature_service
name: all
features: ["spend:*"]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def used(pid):
    """The processor seconds of a process so far."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ready(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def tiderace(binary, folder, source, threads):
    """The processor seconds of a backfill of a fresh project, by both processes."""
    with tempfile.TemporaryDirectory(dir=folder) as project:
        project = pathlib.Path(project)
        grpc, http = free_port(), free_port()
        (project / "tiderace.yaml").write_text(
            f'project: backfill\nserving: {{ grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}" }}\n'
            "state: { path: state }\noffline: { path: offline }\n")
        (project / "definitions.yaml").write_text(ONE_VIEW % source)
        with open(project / "log", "w") as log:
            server = subprocess.Popen([binary, "run", "--project", project], stdout=log, stderr=log)
        try:
            while not ready(grpc):
                if server.poll() is not None:
                    sys.exit((project / "log").read_text())
                time.sleep(0.05)
            before = used(server.pid)
            seconds, said = measured([binary, "backfill", "spend", "--project", project,
                                      "--complete-since", "beginning", "--until", "2100-01-01T00:00:00Z",
                                      "--threads", threads])
            return seconds + used(server.pid) - before, said
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


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
        few = folder / "few.parquet"
        measured([python, "-c", f"import duckdb; duckdb.sql(\"copy (select * from '{payments}' limit 1) to '{few}' (format parquet)\")"])

        def duckdb(source):
            query = (f"copy (select * from '{source}' order by customer_id, tx_time) "
                     f"to '{folder}/sorted.parquet' (format parquet, compression zstd)")
            script = f"import duckdb; c = duckdb.connect(); c.execute('set threads = {arguments.threads}'); c.execute({query!r})"
            return measured([python, "-c", script])[0]

        figures = {"duckdb": [], "tiderace": []}
        for _ in range(arguments.rounds):
            figures["duckdb"].append(duckdb(payments) - duckdb(few))
            alone, _ = tiderace(binary, folder, few, arguments.threads)
            seconds, said = tiderace(binary, folder, payments, arguments.threads)
            figures["tiderace"].append(seconds - alone)
        print(said)
        for name, seconds in figures.items():
            print(f"{name}: median of {len(seconds)}: {statistics.median(seconds):.2f} CPU-s")
        ratios = [ours / theirs for theirs, ours in zip(figures["duckdb"], figures["tiderace"])]
        print(f"tiderace takes {statistics.median(ratios):.2f} times the processor time")


if __name__ == "__main__":
    main()
