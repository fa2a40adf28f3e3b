#!/usr/bin/env python3
"""Hopping windows in Apache Flink and in Tiderace: the same query over the same file.

Installs Flink from PyPI into the cache (330 MB, once), makes the file of events, checks that both
emit the same rows, and measures the processor time of both in turns. What a run over an empty
file takes is subtracted from both: Flink's is mostly the start of its Java machine.

A ratio is printed only where the rows were equal.

    benches/peers/flink/run.py [--rounds 3] [--heap 8000000] [--rocksdb 2000000]
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

FLINK = "2.3.0"
HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tiderace"
HOME = CACHE / "flink"

# What Flink's own scripts open to it from Java 17 on.
OPENS = ["--add-exports=java.base/sun.net.util=ALL-UNNAMED"] + [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "sun.nio.ch",
        "java.text", "java.time", "java.util", "java.util.concurrent",
        "java.util.concurrent.atomic", "java.util.concurrent.locks",
    )
]
JAVA = ["java", "-Xms4g", "-Xmx4g", *OPENS, f"-Dlog4j2.configurationFile=file:{HERE}/log4j2.properties"]

# The collector, and whether objects are reused: as Flink's own scripts start it, and as it takes
# the least processor time here.
SETTINGS = {"as it ships": ("-XX:+UseG1GC", "false"), "tuned": ("-XX:+UseParallelGC", "true")}


def install():
    """Gives the class path, with Flink and the compiled query on it."""
    jars = HOME / FLINK
    if not jars.is_dir():
        venv = HOME / "venv"
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run(
            [venv / "bin/pip", "install", "--quiet", "--no-deps", f"apache-flink-libraries=={FLINK}"],
            check=True,
        )
        [found] = venv.glob("lib/python3*/site-packages/pyflink/lib")
        part = HOME / f"{FLINK}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.move(found, part)
        shutil.rmtree(venv)
        part.rename(jars)
    source = (HERE / "Hop.java").read_bytes()
    classes = HOME / f"classes-{hashlib.sha256(source).hexdigest()[:16]}"
    if not classes.is_dir():
        subprocess.run(["javac", "-cp", f"{jars}/*", "-d", classes, HERE / "Hop.java"], check=True)
    return f"{jars}/*:{classes}"


def measured(command):
    """Runs a command; gives its processor seconds, all threads, and what it printed."""
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen([str(part) for part in command], stdout=printed, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        for stream in printed, said:
            stream.seek(0)
        if child.returncode != 0:
            sys.exit(f"{command}: exit code {child.returncode}\n{said.read()}{printed.read()}")
        return usage.ru_utime + usage.ru_stime, printed.read()


class Contenders:
    """Both programs on one machine."""

    def __init__(self, folder):
        target = os.environ.get("CARGO_TARGET_DIR") or CACHE / "target"
        self.bench = pathlib.Path(target) / "release/tiderace-bench"
        self.folder = folder
        self.classes = install()
        self.empty = self.events(0)

    def events(self, count):
        """The file of that many events."""
        path = self.folder / f"{count}.jsonl"
        if not path.exists():
            subprocess.run([self.bench, "stream", "--events", str(count), "--out", path], check=True)
        return path

    def flink(self, file, minutes, backend, settings, out=None):
        collector, reuse = SETTINGS[settings]
        java = [*JAVA, collector, "-cp", self.classes, "Hop"]
        return measured([*java, file, minutes, backend, out or "blackhole", reuse])

    def tiderace(self, file, minutes, out=None):
        to = ["--out", out] if out else []
        return measured([self.bench, "windows", "--file", file, "--size", f"{minutes}m", *to])

    def same_rows(self, count, minutes, backend, settings):
        """Compares the rows; gives how many there are, or nothing where they differ."""
        file, theirs, ours = self.events(count), self.folder / "flink", self.folder / "tiderace.csv"
        self.flink(file, minutes, backend, settings, theirs)
        self.tiderace(file, minutes, ours)
        parts = [part for part in theirs.rglob("*") if part.is_file()]
        sorted_rows = [self.folder / "flink.sorted", self.folder / "tiderace.sorted"]
        for rows, into in zip((parts, [ours]), sorted_rows):
            # By bytes, so that equal files are equal multisets.
            subprocess.run(["sort", "-o", into, *rows], check=True, env={**os.environ, "LC_ALL": "C"})
        equal = subprocess.run(["cmp", *sorted_rows]).returncode == 0
        with open(sorted_rows[0], "rb") as rows:
            number = sum(1 for _ in rows)
        shutil.rmtree(theirs)
        for path in ours, *sorted_rows:
            path.unlink()
        return number if equal else None


def compare(contenders, count, minutes, backend, settings, rounds):
    """One line of the table."""
    rows = contenders.same_rows(count, minutes, backend, settings)
    file, costs = contenders.events(count), {"flink": [], "tiderace": []}
    starts = {"flink": [], "tiderace": []}
    for _ in range(rounds):
        starts["flink"].append(contenders.flink(contenders.empty, minutes, backend, settings)[0])
        costs["flink"].append(contenders.flink(file, minutes, backend, settings)[0])
        starts["tiderace"].append(contenders.tiderace(contenders.empty, minutes)[0])
        costs["tiderace"].append(contenders.tiderace(file, minutes)[0])
    start = {name: statistics.median(of) for name, of in starts.items()}
    cost = {name: statistics.median(of) - start[name] for name, of in costs.items()}
    print(
        f"| {minutes} min / 1 min | {backend}, {settings} | {count:,} "
        f"| {'the rows differ' if rows is None else f'{rows:,}'} "
        f"| {start['flink']:.1f} | {cost['flink']:.1f} | {count / cost['flink']:,.0f} "
        f"| {start['tiderace']:.2f} | {cost['tiderace']:.2f} | {count / cost['tiderace']:,.0f} "
        f"| {'–' if rows is None else format(cost['flink'] / cost['tiderace'], '.1f')} |",
        flush=True,
    )
    return rows is not None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=10, help="the windows' size")
    parser.add_argument("--heap", type=int, default=8_000_000, help="events for Flink's heap state; 0 for none")
    parser.add_argument("--rocksdb", type=int, default=2_000_000, help="events for Flink's RocksDB state; 0 for none")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="how Flink is set up")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        contenders = Contenders(pathlib.Path(folder))
        print(f"Flink {FLINK}, parallelism 1; seconds are processor time, medians of {arguments.rounds}\n")
        print(
            "| window | Flink | events | rows | Flink: start | Flink: work | events/CPU-s "
            "| Tiderace: start | Tiderace: work | events/CPU-s | times Flink |"
        )
        print("|" + "---|" * 11, flush=True)
        equal = [
            compare(contenders, count, arguments.minutes, backend, settings, arguments.rounds)
            for backend, count in (("hashmap", arguments.heap), ("rocksdb", arguments.rocksdb))
            for settings in arguments.settings
            if count > 0
        ]
    sys.exit(0 if all(equal) else 1)


if __name__ == "__main__":
    main()
