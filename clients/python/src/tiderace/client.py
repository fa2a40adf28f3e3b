"""The client: one connection, lookups, pushes."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message

from tiderace import _channel, _events, _request, errors
from tiderace._attempts import PASSING, Attempts
from tiderace._channel import Method, Tls, Token
from tiderace._events import Durability, Event, Pushed, PushedFeatures
from tiderace._request import Rows
from tiderace._streaming import Streaming
from tiderace._window import Entry, Lookup, Window
from tiderace.features import OnlineFeatures
from tiderace.v1 import catalogue_pb2

Asked = TypeVar("Asked", bound=Message)
Answered = TypeVar("Answered", bound=Message)

TIMEOUT = 5.0
"""Seconds that a call may take unless told otherwise, all its attempts together."""

WATCHES_FOR = 0.25
"""Seconds after which a thread of gRPC has seen that nobody waits for a connection any more: until then
it would complain of a channel that is closed."""


class Client:
    """A connection to a server, to be made once and shared by all threads.

    What passes by itself (the server cannot be reached, or is at its limit) is tried again, after
    pauses that grow and are cut by chance, until the deadline of the call. A push is tried again
    only where that cannot count an event twice. A process that forks makes its client afterwards.
    """

    def __init__(
        self,
        address: str,
        *,
        token: Token = None,
        tls: Tls = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Makes a client of the server at `address`; connects with the first call.

        `token` goes with every call as `authorization: Bearer …`: a text, or a function that gives the
        one that is valid now. `tls` is `True` for the system's authorities, a PEM file with others, or
        `Certificates` with what is shown to a server that asks who calls. `timeout` is that of calls
        that name none.
        """
        where, credentials = _channel.target(address), _channel.credentials(tls)
        if credentials is None:
            self._channel = grpc.insecure_channel(where, options=_channel.OPTIONS)
        else:
            self._channel = grpc.secure_channel(where, credentials, options=_channel.OPTIONS)
        self._token = token
        self._timeout = timeout
        self._watched_until = 0.0
        self._lookup = self._method(_channel.LOOKUP)
        self._stream = self._channel.stream_stream(
            _channel.STREAM.path,
            request_serializer=_channel.STREAM.asked.SerializeToString,
            response_deserializer=_channel.STREAM.answered.FromString,
        )
        self._push = self._method(_channel.PUSH)
        self._push_and_get = self._method(_channel.PUSH_AND_GET)
        self._catalogue = self._method(_channel.CATALOGUE)

    def get_online_features(
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
        """Looks features up, for one or many rows, in one round trip.

        `features` names a feature service; or, as a list, features: `"view:output"`,
        `"view:feature"` for all its windows, `"view:*"` for all of a view.

        `entities` has every key that they need, and `request_data` what on-demand features need
        besides: each as one row (`{"customer_id": 596}`), as columns (`{"customer_id": [596, 597]}`),
        as a list of rows, as a DataFrame or as an Arrow table.

        `as_of` is the instant that the answer is for; now, by the server's clock, if not given.
        `full_names` names every feature `view__output`. `include_valid_until` tells too until
        when values stand. `timeout` is in seconds, for all attempts together.
        """
        table = _request.table("entities", entities)
        request = _request.lookup(features, table, request_data, as_of, full_names, include_valid_until)
        response = self._call(self._lookup, request, self._attempts(timeout))
        return OnlineFeatures(response, table.index)

    def stream_online_features(
        self,
        features: str | Sequence[str],
        lookups: Iterable[Rows | Lookup],
        *,
        full_names: bool = False,
        include_valid_until: bool = False,
        timeout: float | None = None,
    ) -> Iterator[OnlineFeatures | errors.TideraceError]:
        """Looks features up for one request after another, over one stream: answers come in order.

        `lookups` gives the entities of each request, or a `Lookup` where there is more to it; a thread of
        the stream's own asks for them, some ahead of the answers. Each request gets its `OnlineFeatures`,
        or the error that it alone ended with, as a value.

        Where the server is lost, or ends the stream, requests without an answer are sent again. `timeout`
        is for each answer, in seconds, all attempts together. What is raised ends the stream.
        """
        seconds = self._timeout if timeout is None else timeout
        streaming = Streaming(
            Window(features, full_names=full_names, include_valid_until=include_valid_until),
            lookups,
            lambda requests: self._stream(requests, metadata=_channel.headers(self._token)),
            self._pause,
            lambda: self._attempts(seconds),
            time.monotonic,
            seconds,
        )
        for entry in streaming.entries():
            yield self._settled(entry, seconds)

    def push(
        self,
        source: str,
        events: Event | Sequence[Event],
        *,
        durability: Durability = Durability.DISK,
        timeout: float | None = None,
    ) -> Pushed:
        """Gives one event or many to a source: all of them are accepted, or none.

        What an event holds is judged when it is read: a bad one goes to the dead letters.

        A push whose outcome is unknown is sent again only if the source declares an `event_id`, by
        which copies count once; else its error is raised as it is. After `DeadlineExceeded` the
        events may have been accepted or not, and are safe to push again by the same rule.
        """
        request = _events.request(source, events, durability)
        attempts = self._attempts(timeout)
        return _events.pushed(self._give(self._push, request, source, attempts))

    def push_and_get(
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
        """Gives events to a source and looks features up with these events in: each counts once, whether or
        not it has come by the stream already. For a model that scores the event it is given.

        Without `include_events` the features are those without the events, which are told by their
        identity. The answer is for now, or for the time of the latest event where that is later; the rest is
        as for `get_online_features` and `push`. Mistakes are raised before an event is accepted; where the
        events were accepted and the features cannot be had, `PushedFeatures.features` raises why.
        """
        table = _request.table("entities", entities)
        get = _request.lookup(features, table, request_data, None, full_names, include_valid_until)
        push = _events.request(source, events, durability)
        request = _events.get_request(push, get, include_events=include_events)
        response = self._give(self._push_and_get, request, source, self._attempts(timeout))
        return _events.pushed_features(response, table.index)

    def close(self) -> None:
        """Closes the connection; calls that are under way end."""
        time.sleep(max(0.0, self._watched_until - time.monotonic()))
        self._channel.close()

    def __enter__(self) -> Self:
        """Gives the client itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the connection."""
        self.close()

    def _method(self, method: Method[Asked, Answered]) -> grpc.UnaryUnaryMultiCallable[Asked, Answered]:
        return self._channel.unary_unary(
            method.path,
            request_serializer=method.asked.SerializeToString,
            response_deserializer=method.answered.FromString,
        )

    def _attempts(self, timeout: float | None) -> Attempts:
        seconds = self._timeout if timeout is None else timeout
        return Attempts(time.monotonic() + seconds, time.monotonic, random.random)

    def _once(
        self,
        method: grpc.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        attempts: Attempts,
    ) -> Answered:
        headers = _channel.headers(self._token)
        try:
            return method(request, timeout=attempts.seconds_left(), metadata=headers)
        except grpc.RpcError as error:
            raise errors.of_rpc(error) from None

    def _give(
        self,
        method: grpc.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        source: str,
        attempts: Attempts,
    ) -> Answered:
        """Calls a method that pushes; again only where that cannot count an event twice."""
        try:
            return self._once(method, request, attempts)
        except PASSING as failure:
            self._pause(attempts.pause_after(failure))
            if not self._tells_copies(source, attempts, failure):
                failure.add_note(f'not sent again: source "{source}" has no event_id to tell copies by')
                raise
        return self._call(method, request, attempts)

    def _call(
        self,
        method: grpc.UnaryUnaryMultiCallable[Asked, Answered],
        request: Asked,
        attempts: Attempts,
    ) -> Answered:
        while True:
            try:
                return self._once(method, request, attempts)
            except PASSING as failure:
                self._pause(attempts.pause_after(failure))

    def _settled(self, entry: Entry, seconds: float) -> OnlineFeatures | errors.TideraceError:
        """Gives the answer to a request of a stream; one that passes by itself is asked again, alone."""
        assert entry.outcome is not None, "it has an answer"
        if entry.request is None or not isinstance(entry.outcome, PASSING):
            return entry.outcome
        attempts = self._attempts(seconds)
        try:
            self._pause(attempts.pause_after(entry.outcome))
            return OnlineFeatures(self._call(self._lookup, entry.request.lookup, attempts), entry.index)
        except errors.TideraceError as error:
            return error

    def _pause(self, seconds: float) -> None:
        """Waits, and goes on connecting: while nobody waits for it, gRPC looks every 5 s only."""
        until = time.monotonic() + seconds
        connected = grpc.channel_ready_future(self._channel)
        with contextlib.suppress(grpc.FutureTimeoutError):
            connected.result(timeout=seconds)
        connected.cancel()
        self._watched_until = time.monotonic() + WATCHES_FOR
        time.sleep(max(0.0, until - time.monotonic()))

    def _tells_copies(self, source: str, attempts: Attempts, failure: errors.TideraceError) -> bool:
        """Asks the server that is there now whether copies of the source's events count once."""
        try:
            catalogue = self._call(self._catalogue, catalogue_pb2.GetCatalogueRequest(), attempts)
        except errors.TideraceError:
            raise failure from None
        return _events.tells_copies(catalogue, source)
