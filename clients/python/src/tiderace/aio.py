"""The client for asyncio: the same calls, awaited."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Self, TypeVar

import grpc.aio
from google.protobuf.message import Message

from tiderace import _channel, _events, _request, errors
from tiderace._attempts import PASSING, Attempts
from tiderace._channel import Method, Tls, Token
from tiderace._events import Durability, Event, Pushed, PushedFeatures
from tiderace._request import Rows
from tiderace._streaming_aio import Streaming
from tiderace._window import Entry, Lookup, Window
from tiderace.client import TIMEOUT
from tiderace.features import OnlineFeatures
from tiderace.v1 import catalogue_pb2

Asked = TypeVar("Asked", bound=Message)
Answered = TypeVar("Answered", bound=Message)


class AsyncClient:
    """A connection to a server, for one event loop: `Client`, awaited.

    What `Client` says of attempts, deadlines, arguments and errors holds here too.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Token = None,
        tls: Tls = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Makes a client of the server at `address`, inside the loop that will use it."""
        where, credentials = _channel.target(address), _channel.credentials(tls)
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(where, options=_channel.OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(where, credentials, options=_channel.OPTIONS)
        self._token = token
        self._timeout = timeout
        self._lookup = self._method(_channel.LOOKUP)
        self._stream = self._channel.stream_stream(
            _channel.STREAM.path,
            request_serializer=_channel.STREAM.asked.SerializeToString,
            response_deserializer=_channel.STREAM.answered.FromString,
        )
        self._push = self._method(_channel.PUSH)
        self._push_and_get = self._method(_channel.PUSH_AND_GET)
        self._catalogue = self._method(_channel.CATALOGUE)

    async def get_online_features(
        self,
        features: str | Sequence[str],
        entities: Rows,
        request_data: Rows | None = None,
        *,
        as_of: datetime | None = None,
        full_names: bool = False,
        include_valid_until: bool = False,
        timeout: float | None = None,
    ) -> OnlineFeatures:
        """Looks features up, as `Client.get_online_features` does."""
        table = _request.table("entities", entities)
        request = _request.lookup(features, table, request_data, as_of, full_names, include_valid_until)
        response = await self._call(self._lookup, request, self._attempts(timeout))
        return OnlineFeatures(response, table.index)

    async def stream_online_features(
        self,
        features: str | Sequence[str],
        lookups: Iterable[Rows | Lookup] | AsyncIterable[Rows | Lookup],
        *,
        full_names: bool = False,
        include_valid_until: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[OnlineFeatures | errors.TideraceError]:
        """Looks features up for one request after another, as `Client.stream_online_features` does."""
        seconds = self._timeout if timeout is None else timeout
        streaming = Streaming(
            Window(features, full_names=full_names, include_valid_until=include_valid_until),
            lookups,
            lambda requests: self._stream(requests, metadata=_channel.headers(self._token)),
            lambda: self._attempts(seconds),
            time.monotonic,
            seconds,
        )
        async with contextlib.aclosing(streaming.entries()) as entries:
            async for entry in entries:
                yield await self._settled(entry, seconds)

    async def push(
        self,
        source: str,
        events: Event | Sequence[Event],
        *,
        durability: Durability = Durability.DISK,
        timeout: float | None = None,
    ) -> Pushed:
        """Gives one event or many to a source, as `Client.push` does."""
        request = _events.request(source, events, durability)
        attempts = self._attempts(timeout)
        return _events.pushed(await self._give(self._push, request, source, attempts))

    async def push_and_get(
        self,
        source: str,
        events: Event | Sequence[Event],
        features: str | Sequence[str],
        entities: Rows,
        request_data: Rows | None = None,
        *,
        include_events: bool = True,
        durability: Durability = Durability.DISK,
        full_names: bool = False,
        include_valid_until: bool = False,
        timeout: float | None = None,
    ) -> PushedFeatures:
        """Gives events to a source and looks features up, as `Client.push_and_get` does."""
        table = _request.table("entities", entities)
        get = _request.lookup(features, table, request_data, None, full_names, include_valid_until)
        push = _events.request(source, events, durability)
        request = _events.get_request(push, get, include_events=include_events)
        response = await self._give(self._push_and_get, request, source, self._attempts(timeout))
        return _events.pushed_features(response, table.index)

    async def close(self) -> None:
        """Closes the connection; calls that are under way end."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        """Gives the client itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes the connection."""
        await self.close()

    def _method(self, method: Method[Asked, Answered]) -> grpc.aio.UnaryUnaryMultiCallable[Asked, Answered]:
        return self._channel.unary_unary(
            method.path,
            request_serializer=method.asked.SerializeToString,
            response_deserializer=method.answered.FromString,
        )

    def _attempts(self, timeout: float | None) -> Attempts:
        seconds = self._timeout if timeout is None else timeout
        return Attempts(time.monotonic() + seconds, time.monotonic, random.random)

    async def _once(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        attempts: Attempts,
    ) -> Answered:
        headers = _channel.headers(self._token)
        try:
            return await method(request, timeout=attempts.seconds_left(), metadata=headers)
        except grpc.aio.AioRpcError as error:
            raise errors.of_rpc(error) from None

    async def _give(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        source: str,
        attempts: Attempts,
    ) -> Answered:
        """Calls a method that pushes; again only where that cannot count an event twice."""
        try:
            return await self._once(method, request, attempts)
        except PASSING as failure:
            await asyncio.sleep(attempts.pause_after(failure))
            if not await self._tells_copies(source, attempts, failure):
                failure.add_note(f'not sent again: source "{source}" has no event_id to tell copies by')
                raise
        return await self._call(method, request, attempts)

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        attempts: Attempts,
    ) -> Answered:
        while True:
            try:
                return await self._once(method, request, attempts)
            except PASSING as failure:
                await asyncio.sleep(attempts.pause_after(failure))

    async def _settled(self, entry: Entry, seconds: float) -> OnlineFeatures | errors.TideraceError:
        """Gives the answer to a request of a stream; one that passes by itself is asked again, alone."""
        assert entry.outcome is not None, "it has an answer"
        if entry.request is None or not isinstance(entry.outcome, PASSING):
            return entry.outcome
        attempts = self._attempts(seconds)
        try:
            await asyncio.sleep(attempts.pause_after(entry.outcome))
            response = await self._call(self._lookup, entry.request.lookup, attempts)
            return OnlineFeatures(response, entry.index)
        except errors.TideraceError as error:
            return error

    async def _tells_copies(self, source: str, attempts: Attempts, failure: errors.TideraceError) -> bool:
        """Asks the server that is there now whether copies of the source's events count once."""
        try:
            catalogue = await self._call(self._catalogue, catalogue_pb2.GetCatalogueRequest(), attempts)
        except errors.TideraceError:
            raise failure from None
        return _events.tells_copies(catalogue, source)
