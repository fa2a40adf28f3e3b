#!/usr/bin/env python3
"""Runs the test binaries that cargo has built, several at a time.

    cargo test --no-run --tests --message-format=json | scripts/run-tests.py [--jobs N] [NAME…]

Each runs one test after another, in the folder of its crate, so that N tests run at once whatever binary
they are in: as many as there are processors. With more, the real Kafkas and Redises that tests start come to
share them, and what a test waits for comes late; so one more begins only while most of a processor has been
idle for a while, because others wait, and never more than twice as many. The ones that took longest the last
time begin first. What a binary prints is shown when it has ended, as `cargo test` shows it; all of them run,
and the exit code is 1 if any failed. With NAMEs, only binaries whose name has one.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple


class Binary(NamedTuple):
    """A built test binary."""

    name: str
    path: str
    folder: str

    @property
    def key(self) -> str:
        """What its time is remembered under."""
        return f"{Path(self.folder).name}/{self.name}"


def built(lines: list[str]) -> list[Binary]:
    """Finds the test binaries among cargo's messages; shows what the compiler says."""
    found = []
    for line in lines:
        said = json.loads(line)
        if said["reason"] == "compiler-message":
            sys.stderr.write(said["message"]["rendered"])
        if said["reason"] == "compiler-artifact" and said["profile"]["test"] and said["executable"]:
            folder = os.path.dirname(said["manifest_path"])
            found.append(Binary(said["target"]["name"], said["executable"], folder))
    return found


def run(binary: Binary) -> tuple[bool, float, str]:
    """Runs one to its end: whether all passed, how long it took, what it printed."""
    environment = os.environ | {"CARGO_MANIFEST_DIR": binary.folder}
    environment.setdefault("RUST_TEST_THREADS", "1")
    began = time.monotonic()
    done = subprocess.run(
        [binary.path],
        cwd=binary.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    said = done.stdout.decode(errors="replace")
    if done.returncode < 0:
        said += f"\nended by signal {-done.returncode}\n"
    return done.returncode == 0, time.monotonic() - began, said


class Spare:
    """Whether processors are idle: neither busy nor waiting for a disk."""

    ENOUGH = 0.75
    LOOKED_AT_FOR = 5.0

    def __init__(self) -> None:
        """Looks from now on."""
        self.since = time.monotonic()
        self.idle = self._idle()

    def one(self) -> bool:
        """Says whether most of one has been idle since; looks anew then."""
        seconds = time.monotonic() - self.since
        if seconds < self.LOOKED_AT_FOR:
            return False
        before, self.since, self.idle = self.idle, time.monotonic(), self._idle()
        return (self.idle - before) / seconds >= self.ENOUGH

    def _idle(self) -> float:
        """Gives the seconds that all processors together have been idle."""
        try:
            idle = Path("/proc/stat").read_text().split(maxsplit=5)[4]
        except OSError:
            return 0.0
        return int(idle) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Runs them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--times", type=Path, help="where it is remembered how long each took")
    parser.add_argument("names", nargs="*", help="parts of names")
    asked = parser.parse_args()
    binaries = built(sys.stdin.read().splitlines())
    if asked.names:
        binaries = [each for each in binaries if any(name in each.name for name in asked.names)]
    if not binaries:
        print("cargo has built no such test: it failed, or was not asked for them", file=sys.stderr)
        return 1
    try:
        times = json.loads(asked.times.read_text())
    except (AttributeError, OSError, ValueError):
        times = {}
    # One that is not known may be long.
    binaries.sort(key=lambda each: -times.get(each.key, float("inf")))
    failed = []
    shown = threading.Lock()

    def run_and_show(binary: Binary) -> None:
        passed, seconds, said = run(binary)
        with shown:
            times[binary.key] = round(seconds, 1)
            print(f"     Ran {binary.key} ({binary.path}) in {seconds:.1f} s\n{said}", flush=True)
            if not passed:
                failed.append(binary.key)

    running: set[Future[None]] = set()
    with ThreadPoolExecutor(2 * asked.jobs) as pool:
        spare = Spare()
        while binaries or running:
            if binaries and (len(running) < asked.jobs or (len(running) < 2 * asked.jobs and spare.one())):
                running.add(pool.submit(run_and_show, binaries.pop(0)))
                spare = Spare()
            else:
                ended, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for each in ended:
                    each.result()
    if asked.times:
        asked.times.write_text(json.dumps(times, indent=0, sort_keys=True))
    if failed:
        print(f"failed: {', '.join(sorted(failed))}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
