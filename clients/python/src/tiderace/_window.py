"""The requests of a stream that are under way: which are to be sent, which are answered, in order.

No thread and no connection is in here, so that both clients share it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tiderace import _request, errors
from tiderace._request import Rows
from tiderace.errors import Internal, TideraceError
from tiderace.features import OnlineFeatures
from tiderace.v1 import lookup_pb2

WIDTH = 32
"""How many requests are under way at once; the next is taken when the first has its answer."""


@dataclass(frozen=True)
class Lookup:
    """One request of a stream, where there is more to it than its entities."""

    entities: Rows
    request_data: Rows | None = None
    as_of: datetime | None = None


@dataclass
class Entry:
    """A request, until its answer is given to the caller."""

    since: float
    """When it was taken."""
    request: lookup_pb2.StreamOnlineFeaturesRequest | None = None
    index: Any = None
    outcome: OnlineFeatures | TideraceError | None = None


class Window:
    """What is under way, in the order of the requests."""

    def __init__(self, features: str | Sequence[str], *, full_names: bool, include_valid_until: bool) -> None:
        """Begins with nothing; all requests are for the same features."""
        self._features = features
        self._full_names = full_names
        self._include_valid_until = include_valid_until
        self._entries: deque[Entry] = deque()
        self._sent = 0
        self._number = 0

    def __len__(self) -> int:
        """Counts what is under way."""
        return len(self._entries)

    def take(self, asked: Rows | Lookup, now: float) -> None:
        """Takes the next request. What is wrong with it is its answer, and it is not sent."""
        lookup = asked if isinstance(asked, Lookup) else Lookup(asked)
        entry = Entry(now)
        try:
            table = _request.table("entities", lookup.entities)
            request = _request.lookup(
                self._features,
                table,
                lookup.request_data,
                lookup.as_of,
                self._full_names,
                self._include_valid_until,
            )
        except TideraceError as error:
            entry.outcome = error
        else:
            self._number += 1
            entry.index = table.index
            entry.request = lookup_pb2.StreamOnlineFeaturesRequest(id=self._number, lookup=request)
        self._entries.append(entry)

    def to_send(self) -> lookup_pb2.StreamOnlineFeaturesRequest | None:
        """Gives the next request that was not sent; `None` where there is none."""
        while self._sent < len(self._entries):
            entry = self._entries[self._sent]
            self._sent += 1
            if entry.request is not None and entry.outcome is None:
                return entry.request
        return None

    def send_again(self) -> None:
        """Forgets what was sent: requests without an answer go to another server."""
        self._sent = 0

    def answer(self, response: lookup_pb2.StreamOnlineFeaturesResponse) -> None:
        """Takes the answer to the first request without one."""
        entry = next((each for each in self._entries if each.outcome is None), None)
        if entry is None or entry.request is None or entry.request.id != response.id:
            raise Internal(f"an answer to request {response.id}, which was not the next")
        if response.WhichOneof("result") == "answer":
            entry.outcome = OnlineFeatures(response.answer, entry.index)
        else:
            # Checkers take its type for Python's own LookupError.
            error: Any = response.error
            entry.outcome = errors.of_code(error.code, error.message)

    def first(self) -> Entry | None:
        """Gives the first request; `None` where there is none."""
        return self._entries[0] if self._entries else None

    def pop(self) -> Entry:
        """Gives the first request up, which has an answer."""
        self._sent = max(0, self._sent - 1)
        return self._entries.popleft()
