"""Values of messages in Python: exact at the edges, and nothing is taken for something else."""

from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tiderace import Internal
from tiderace._request import instant
from tiderace._value import to_datetime, to_python, to_timedelta
from tiderace.v1.value_pb2 import Value, ValueMap, ValueMapEntry


@pytest.mark.parametrize(
    "at",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2262, 4, 12, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ],
)
def test_instants_survive(at: datetime) -> None:
    message = instant("as_of", at)
    assert 0 <= message.nanos < 1_000_000_000
    assert to_datetime(message) == at


def test_an_instant_that_python_has_not() -> None:
    with pytest.raises(Internal, match="outside the years 1 to 9999"):
        to_datetime(Timestamp(seconds=253_402_300_800))


def test_spans_below_zero() -> None:
    assert to_timedelta(Duration(seconds=-1, nanos=-500_000_000)) == timedelta(seconds=-1.5)
    assert to_timedelta(Duration(nanos=-1_000)) == timedelta(microseconds=-1)


def test_a_value_of_no_kind_is_not_null() -> None:
    assert to_python(Value(null_value="NULL_VALUE")) is None
    with pytest.raises(Internal, match="only a newer server has"):
        to_python(Value())


def test_no_entry_of_a_map_is_lost() -> None:
    zeros = [Value(double_value=zero) for zero in (0.0, -0.0)]
    entries = [ValueMapEntry(key=zero, value=Value(int64_value=1)) for zero in zeros]
    with pytest.raises(Internal, match=r"such as 0\.0 and -0\.0"):
        to_python(Value(map_value=ValueMap(entries=entries)))
