"""A project folder and the real server on it: started, killed, started again."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

READY_WITHIN = 60.0


def binary() -> str:
    """Finds the command: TIDERACE_BIN, or in PATH."""
    found = shutil.which(os.environ.get("TIDERACE_BIN", "tiderace"))
    assert found, "no tiderace: build it, and name it by TIDERACE_BIN"
    return found


def run(*arguments: str) -> str:
    """Runs the command to its end; gives what it prints."""
    done = subprocess.run([binary(), *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def free_ports(count: int) -> list[int]:
    """Finds ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


PATIENT = "limits: { call_time: 60s }"
"""A busy machine may take longer for a call than servers do by default."""


class Server:
    """`tiderace run` on a project of its own."""

    def __init__(self, folder: Path, definitions: str) -> None:
        """Writes the project."""
        self.folder = folder
        self.grpc, self.http = free_ports(2)
        self.process: subprocess.Popen[bytes] | None = None
        settings = (
            "project: tests\nstate: { path: state }\n"
            f'serving: {{ grpc: "127.0.0.1:{self.grpc}", http: "127.0.0.1:{self.http}", {PATIENT} }}\n'
        )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiderace.yaml").write_text(settings)
        (folder / "definitions.yaml").write_text(definitions)

    @property
    def address(self) -> str:
        """Where its gRPC is."""
        return f"127.0.0.1:{self.grpc}"

    def start(self) -> None:
        """Starts it, and waits until it is ready."""
        self.launch()
        self.wait("the server to be ready", self._is_ready)

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Waits until something holds of the server that was launched, which must not end meanwhile."""

        def holds_while_it_runs() -> bool:
            assert self.process and self.process.poll() is None, self._said()
            return holds()

        until(what, holds_while_it_runs, READY_WITHIN, self._said)

    def _said(self) -> str:
        return (self.folder / "run.log").read_text()

    def launch(self) -> None:
        """Starts it without waiting."""
        with open(self.folder / "run.log", "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "run", "--project", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
            )

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/ready")[0] == 200
        except URLError:
            return False

    def kill(self) -> None:
        """Kills it, as a crash would."""
        self.signal(signal.SIGKILL)
        assert self.process
        self.process.wait()

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        assert self.process
        self.process.send_signal(number)

    def pause(self) -> None:
        """Makes it stand still: returns once every thread of it does."""
        self.signal(signal.SIGSTOP)
        assert self.process
        tasks = Path(f"/proc/{self.process.pid}/task")
        until("every thread to stand still", lambda: all(map(_stands_still, tasks.glob("*/stat"))))

    def resume(self) -> None:
        """Lets it go on."""
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it in good order."""
        assert self.process
        self.process.terminate()
        assert self.process.wait(30) == 0, self._said()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Asks its HTTP door: status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except HTTPError as error:
            return error.code, json.loads(error.read())

    def features(self, **asked: Any) -> Any:
        """Looks features up by HTTP."""
        status, answer = self.ask("POST", "/v1/features", asked)
        assert status == 200, answer
        return answer


def _stands_still(stat: Path) -> bool:
    try:
        # The state follows the name, which may hold spaces and brackets.
        return stat.read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return True  # a thread that has ended meanwhile


def until(what: str, holds: Callable[[], Any], within: float = 30.0, said: Callable[[], str] = str) -> None:
    """Waits until something holds; `said` is what helps to understand why it does not."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"waited {within} s for {what}\n{said()}"
        time.sleep(0.02)
