"""A stream of lookups for asyncio: one task takes requests, one reads answers, the caller's gets them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

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
    lookups: Iterable[Rows | Lookup] | AsyncIterable[Rows | Lookup]
    call: Callable[[AsyncIterator[lookup_pb2.StreamOnlineFeaturesRequest]], Call]
    """Opens a call."""
    attempts: Callable[[], Attempts]
    """Makes the attempts of one answer, whose deadline is that of the stream's answers."""
    now: Callable[[], float]
    timeout: float
    _told: asyncio.Condition = field(default_factory=asyncio.Condition)
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
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def entries(self) -> AsyncGenerator[Entry]:
        """Gives requests with their answers, in order."""
        self._start(self._take())
        again: Attempts | None = None
        answered = self.now()
        try:
            while True:
                async with self._told:
                    entry, failure = await self._wait(answered)
                    if entry is not None:
                        self.window.pop()
                        self._told.notify_all()
                    elif failure is None:
                        if self._fault is not None:
                            raise self._fault
                        return
                if failure is not None:
                    again = again or self.attempts()
                    await asyncio.sleep(again.pause_after(failure))
                if entry is not None:
                    again = self._passing = None
                    yield entry
                    answered = self.now()
        finally:
            self._calls += 1
            for task in self._tasks:
                task.cancel()
            if self._open is not None:
                self._open.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, answered: float) -> tuple[Entry | None, TideraceError | None]:
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
                await self._told.wait()
                continue
            if self._open is None:
                self._calls += 1
                self.window.send_again()
                self._open = self.call(self._requests(self._calls))
                self._start(self._read(self._open, self._calls))
            left = max(first.since, answered) + self.timeout - self.now()
            try:
                await asyncio.wait_for(self._told.wait(), max(0.0, left))
            except TimeoutError:
                if self.now() >= max(first.since, answered) + self.timeout and first.outcome is None:
                    late = self._passing or DeadlineExceeded(f"no answer within {self.timeout} s")
                    raise late from None

    async def _take(self) -> None:
        """Takes the caller's requests, while few enough are under way."""
        try:
            async for lookup in _each(self.lookups):
                async with self._told:
                    await self._told.wait_for(lambda: len(self.window) < WIDTH)
                    self.window.take(lookup, self.now())
                    self._told.notify_all()
        except Exception as fault:
            self._fault = fault
        async with self._told:
            self._taken = True
            self._told.notify_all()

    async def _requests(self, number: int) -> AsyncIterator[lookup_pb2.StreamOnlineFeaturesRequest]:
        """Gives one call its requests."""
        while True:
            async with self._told:
                while True:
                    request = self.window.to_send() if number == self._calls else None
                    if request is not None:
                        break
                    if number != self._calls or self._taken:
                        return
                    await self._told.wait()
            yield request

    async def _read(self, call: Call, number: int) -> None:
        """Takes the answers of one call."""
        failure: TideraceError = Unavailable("the server has ended the stream")
        try:
            async for response in call:
                async with self._told:
                    if number != self._calls:
                        return
                    self.window.answer(response)
                    self._told.notify_all()
        except grpc.aio.AioRpcError as error:
            failure = errors.of_rpc(error)
        except TideraceError as error:
            failure = error
        async with self._told:
            if number == self._calls:
                self._failure = failure
                self._told.notify_all()


async def _each(
    lookups: Iterable[Rows | Lookup] | AsyncIterable[Rows | Lookup],
) -> AsyncIterator[Rows | Lookup]:
    if isinstance(lookups, AsyncIterable):
        async for lookup in lookups:
            yield lookup
    else:
        for lookup in lookups:
            yield lookup
