"""A stream of lookups for threads: one takes requests, one reads answers, the caller's gets them."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from tiderace import errors
from tiderace._attempts import Attempts
from tiderace._request import Rows
from tiderace._window import WIDTH, Entry, Lookup, Window
from tiderace.errors import DeadlineExceeded, TideraceError, Unavailable
from tiderace.v1 import lookup_pb2

Call = Any
"""A call of gRPC: its answers, and `cancel`."""


@dataclass
class Streaming:
    """One stream, over as many calls as it takes."""

    window: Window
    lookups: Iterable[Rows | Lookup]
    call: Callable[[Iterator[lookup_pb2.StreamOnlineFeaturesRequest]], Call]
    """Opens a call."""
    pause: Callable[[float], None]
    attempts: Callable[[], Attempts]
    """Makes the attempts of one answer, whose deadline is that of the stream's answers."""
    now: Callable[[], float]
    timeout: float
    _told: threading.Condition = field(default_factory=threading.Condition)
    _taken: bool = False
    """Whether there are no more requests."""
    _fault: BaseException | None = None
    """What went wrong with the caller's own requests."""
    _failure: TideraceError | None = None
    """How the call ended that was open."""
    _passing: TideraceError | None = None
    """Why the first request has no answer yet, where that is known."""
    _open: Call = None
    _calls: int = 0
    """Tells what belongs to the call that is open from what is left of others."""

    def entries(self) -> Iterator[Entry]:
        """Gives requests with their answers, in order."""
        threading.Thread(target=self._take, daemon=True, name="tiderace-lookups").start()
        again: Attempts | None = None
        answered = self.now()
        try:
            while True:
                with self._told:
                    entry, failure = self._wait(answered)
                    if entry is not None:
                        self.window.pop()
                        self._told.notify_all()
                    elif failure is None:
                        if self._fault is not None:
                            raise self._fault
                        return
                if failure is not None:
                    again = again or self.attempts()
                    self.pause(again.pause_after(failure))
                if entry is not None:
                    again = self._passing = None
                    yield entry
                    answered = self.now()
        finally:
            self._end()

    def _wait(self, answered: float) -> tuple[Entry | None, TideraceError | None]:
        """Waits for the first request's answer, the end of the call, or that of all requests."""
        while True:
            first = self.window.first()
            if first is not None and first.outcome is not None:
                return first, None
            if first is None and self._taken:
                return None, None
            if self._failure is not None:
                failure, self._failure, self._open = self._failure, None, None
                self._passing = failure
                if first is not None:
                    return None, failure
            if first is None:
                self._told.wait()
                continue
            if self._open is None:
                self._begin()
            left = max(first.since, answered) + self.timeout - self.now()
            if left <= 0:
                raise self._passing or DeadlineExceeded(f"no answer within {self.timeout} s")
            self._told.wait(left)

    def _begin(self) -> None:
        """Opens a call, which sends what has no answer."""
        self._calls += 1
        self.window.send_again()
        self._open = self.call(self._requests(self._calls))
        arguments = (self._open, self._calls)
        threading.Thread(target=self._read, args=arguments, daemon=True, name="tiderace-answers").start()

    def _take(self) -> None:
        """Takes the caller's requests, while few enough are under way."""
        try:
            for lookup in self.lookups:
                with self._told:
                    self._told.wait_for(lambda: len(self.window) < WIDTH or self._taken)
                    if self._taken:
                        return
                    self.window.take(lookup, self.now())
                    self._told.notify_all()
        except BaseException as fault:
            self._fault = fault
        with self._told:
            self._taken = True
            self._told.notify_all()

    def _requests(self, number: int) -> Iterator[lookup_pb2.StreamOnlineFeaturesRequest]:
        """Gives one call its requests."""
        while True:
            with self._told:
                while True:
                    request = self.window.to_send() if number == self._calls else None
                    if request is not None:
                        break
                    if number != self._calls or self._taken:
                        return
                    self._told.wait()
            yield request

    def _read(self, call: Call, number: int) -> None:
        """Takes the answers of one call."""
        failure: TideraceError = Unavailable("the server has ended the stream")
        try:
            for response in call:
                with self._told:
                    if number != self._calls:
                        return
                    self.window.answer(response)
                    self._told.notify_all()
        except grpc.RpcError as error:
            failure = errors.of_rpc(error)
        except TideraceError as error:
            failure = error
        with self._told:
            if number == self._calls:
                self._failure = failure
                self._told.notify_all()

    def _end(self) -> None:
        with self._told:
            self._taken = True
            self._calls += 1
            self._told.notify_all()
        if self._open is not None:
            self._open.cancel()
