"""Values of answers as Python has them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tiderace.errors import Internal
from tiderace.v1 import value_pb2

_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


def to_python(value: value_pb2.Value) -> Any:
    """Gives a value; the kind of the message decides the type."""
    kind = value.WhichOneof("kind")
    read = _READ.get(kind or "")
    if read is None:
        raise Internal("a value of a kind that only a newer server has; upgrade this package")
    return read(value)


def to_datetime(at: Timestamp) -> datetime:
    """Gives an instant, in UTC, exactly."""
    try:
        return _SINCE + timedelta(seconds=at.seconds, microseconds=at.nanos // 1_000)
    except OverflowError as error:
        raise Internal("an instant outside the years 1 to 9999, which Python has no datetime for") from error


def to_timedelta(span: Duration) -> timedelta:
    """Gives a span, exactly."""
    # Of a span before zero both parts are, so the division must not go down.
    return timedelta(seconds=span.seconds, microseconds=int(span.nanos / 1_000))


def _map(value: value_pb2.Value) -> dict[Any, Any]:
    entries = value.map_value.entries
    read = {to_python(entry.key): to_python(entry.value) for entry in entries}
    if len(read) != len(entries):
        raise Internal("a map has keys that Python holds for equal, such as 0.0 and -0.0")
    return read


_READ: dict[str, Callable[[value_pb2.Value], Any]] = {
    "null_value": lambda value: None,
    "bool_value": lambda value: value.bool_value,
    "int64_value": lambda value: value.int64_value,
    "double_value": lambda value: value.double_value,
    "decimal_value": lambda value: Decimal(value.decimal_value),
    "string_value": lambda value: value.string_value,
    "bytes_value": lambda value: value.bytes_value,
    "timestamp_value": lambda value: to_datetime(value.timestamp_value),
    "duration_value": lambda value: to_timedelta(value.duration_value),
    "list_value": lambda value: [to_python(item) for item in value.list_value.values],
    "map_value": _map,
}
