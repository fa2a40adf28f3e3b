"""Events on their way into a source: what a push carries, and what it got."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from tiderace import errors
from tiderace.errors import InvalidArgument
from tiderace.features import OnlineFeatures
from tiderace.v1 import catalogue_pb2, lookup_pb2, push_pb2

Event = Mapping[str, Any] | str | bytes
"""One event: by column, or the text of its JSON object."""


class Durability(StrEnum):
    """What events survive once a push has returned."""

    DISK = "DISK"
    """A crash of the machine (Kafka: acknowledged by all in-sync replicas)."""
    PROCESS = "PROCESS"
    """A crash of the process."""


@dataclass(frozen=True)
class Pushed:
    """Where events are."""

    first_offset: int | None
    """The first one's offset in the embedded log, the others following; `None` for Kafka."""
    count: int
    """How many were taken."""


@dataclass(frozen=True)
class RefusedEvent:
    """A pushed event that does not count; it goes to the dead letters."""

    index: int
    """Which of the events, from 0."""
    view: str | None
    """The view that it does not count in; `None` for all."""
    reason: str
    """Why, as dead letters and metrics have it."""
    message: str
    """The particulars."""


@dataclass(frozen=True)
class PushedFeatures:
    """Events that were accepted, and the features that were asked for with them."""

    pushed: Pushed
    """Where the events are."""
    refused: tuple[RefusedEvent, ...]
    """Those that do not count."""
    outcome: OnlineFeatures | errors.TideraceError
    """The features, or why there are none: the events are accepted all the same."""

    @property
    def features(self) -> OnlineFeatures:
        """The features; raises why there are none."""
        if isinstance(self.outcome, errors.TideraceError):
            raise self.outcome
        return self.outcome


def request(source: str, events: Event | Sequence[Event], durability: Durability) -> push_pb2.PushRequest:
    """Makes the request of a push."""
    given = [events] if isinstance(events, Mapping | str | bytes) else events
    return push_pb2.PushRequest(
        source=source,
        payloads=[_payload(place, event) for place, event in enumerate(given)],
        durability=f"DURABILITY_{durability}",
    )


def pushed(response: push_pb2.PushResponse) -> Pushed:
    """Reads the answer of a push."""
    has_offset = response.HasField("first_offset")
    return Pushed(response.first_offset if has_offset else None, response.count)


def get_request(
    push: push_pb2.PushRequest,
    get: lookup_pb2.GetOnlineFeaturesRequest,
    *,
    include_events: bool,
) -> push_pb2.PushAndGetRequest:
    """Makes the request of a push and get."""
    events = "INCLUDED" if include_events else "EXCLUDED"
    return push_pb2.PushAndGetRequest(push=push, get=get, events=f"EVENTS_IN_ANSWER_{events}")


def pushed_features(response: push_pb2.PushAndGetResponse, index: Any) -> PushedFeatures:
    """Reads the answer of a push and get."""
    outcome: OnlineFeatures | errors.TideraceError
    if response.HasField("features"):
        outcome = OnlineFeatures(response.features, index)
    else:
        outcome = errors.of_code(response.error.code, response.error.message)
    refused = tuple(
        RefusedEvent(event.index, event.view or None, event.reason, event.message)
        for event in response.refused
    )
    return PushedFeatures(pushed(response.push), refused, outcome)


def _payload(place: int, event: Event) -> bytes:
    if isinstance(event, bytes):
        return event
    if isinstance(event, str):
        return event.encode()
    try:
        text = json.dumps(
            dict(event),
            default=_written,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
        )
    except (TypeError, ValueError) as error:
        told = str(error)
        if "not JSON compliant" in told:
            told = "NaN and infinities are no JSON; give None for null"
        raise InvalidArgument(f"event {place}: {told}") from error
    return text.encode()


def _written(value: Any) -> Any:
    """What a source reads a value from that JSON has no form for."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value.isoformat()} has no zone; give one, such as tzinfo=timezone.utc")
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        return value.item()
    raise TypeError(f"found {type(value).__name__}; expected what JSON has, a datetime, Decimal or bytes")


def tells_copies(catalogue: catalogue_pb2.GetCatalogueResponse, source: str) -> bool:
    """Tells whether copies of a source's events count once.

    An event's identity is its `event_id` and its time. A source without `event_id` goes by where a
    record lies, and there a copy is another event.
    """
    return any(each.name == source and each.event_id for each in catalogue.sources)
