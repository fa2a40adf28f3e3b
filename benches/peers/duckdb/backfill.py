#!/usr/bin/env python3
"""A backfill in Tiderace beside DuckDB sorting the same file by (customer, time) and writing it again.

Counts the processor time of both of our processes: the one that prepares, and the one that runs and takes the
events into its rows and publishes them, to its end. What each takes over a file of one payment is subtracted.

With --copies N the file is N times as long, of as many times the customers. What our preparing process has
resident at most is printed; what it was allowed (--memory) is for the events that it has in hand, so the
program and what a reader of Parquet holds come on top.

    benches/peers/duckdb/backfill.py PAYMENTS.parquet [--rounds 3] [--threads 1] [--copies 1] [--memory 512MiB]
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from history import DEFINITIONS, ROOT, install, measured, ran, seconds_of

# A window over all of the past, so that no payment is left out.
ONE_VIEW = DEFINITIONS.split("---\nkind: feature_view\nname: risk")[0].replace("30d", "365d") + """---
kind: feature_service
name: all
features: ["spend:*"]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def push_one(http):
    """A payment behind all others: of a view whose source has given nothing it is not known since when it is whole."""
    payment = {"tx_id": -1, "tx_time": "2018-10-01T00:00:00Z", "customer_id": 0, "terminal_id": 0,
               "amount": 1.0, "is_fraud": 0}
    urllib.request.urlopen(f"http://127.0.0.1:{http}/v1/push/payments", json.dumps(payment).encode(), 30).close()


def ready(port):
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def tiderace(binary, folder, source, arguments):
    """A backfill of a fresh project: the processor seconds of both processes, what the one that prepares had
    resident at most (MiB), and what it printed."""
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
            push_one(http)
            prepared, said = ran([binary, "backfill", "spend", "--project", project,
                                  "--complete-since", "beginning", "--until", "2100-01-01T00:00:00Z",
                                  "--threads", arguments.threads, "--memory", arguments.memory])
        finally:
            server.send_signal(signal.SIGTERM)
            _, status, usage = os.wait4(server.pid, 0)
            server.returncode = os.waitstatus_to_exitcode(status)
        # From its start to its end in good order, all that it does in the background included.
        return seconds_of(prepared) + seconds_of(usage), prepared.ru_maxrss / 1024, said


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("payments", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--memory", default="512MiB")
    arguments = parser.parse_args()
    python = install()
    binary = subprocess.run([ROOT / "scripts/tiderace", "--where"], check=True, capture_output=True, text=True)
    binary = binary.stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        given = arguments.payments.resolve()
        payments, few = folder / "payments.parquet", folder / "few.parquet"
        copies = f"""select * replace (tx_id + copy * 100000000 as tx_id, customer_id + copy * 100000 as customer_id)
                     from '{given}', generate_series(0, {arguments.copies - 1}) as copies(copy)"""
        for query, file in ((f"select * exclude (copy) from ({copies})", payments), (f"from '{given}' limit 1", few)):
            write = f"set memory_limit = '4GB'; copy ({query}) to '{file}' (format parquet)"
            measured([python, "-c", f"import duckdb; duckdb.sql({write!r})"])

        def duckdb(source):
            query = (f"copy (select * from '{source}' order by customer_id, tx_time) "
                     f"to '{folder}/sorted.parquet' (format parquet, compression zstd)")
            script = f"import duckdb; c = duckdb.connect(); c.execute('set threads = {arguments.threads}'); c.execute({query!r})"
            return measured([python, "-c", script])[0]

        figures = {"duckdb": [], "tiderace": []}
        for _ in range(arguments.rounds):
            figures["duckdb"].append(duckdb(payments) - duckdb(few))
            alone, base, _ = tiderace(binary, folder, few, arguments)
            seconds, peak, said = tiderace(binary, folder, payments, arguments)
            figures["tiderace"].append(seconds - alone)
        print(said)
        print(f"to prepare with --memory {arguments.memory}: at most {peak:.0f} MiB resident, {base:.0f} with one payment")
        for name, seconds in figures.items():
            print(f"{name}: median of {len(seconds)}: {statistics.median(seconds):.2f} CPU-s")
        ratios = [ours / theirs for theirs, ours in zip(figures["duckdb"], figures["tiderace"])]
        print(f"tiderace takes {statistics.median(ratios):.2f} times the processor time")


if __name__ == "__main__":
    main()
