"""The rule by which calls are made again, without a clock."""

from collections.abc import Iterator
from itertools import count

import grpc
import pytest

from tiderace import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    TideraceError,
    Unavailable,
)
from tiderace._attempts import FIRST_PAUSE, LONGEST_PAUSE, Attempts
from tiderace.errors import BROKEN, of_rpc


def attempts(deadline: float, chance: float, clock: Iterator[float]) -> Attempts:
    return Attempts(deadline, lambda: next(clock), lambda: chance)


def test_pauses_double_up_to_the_longest() -> None:
    made = attempts(1e9, 1.0, iter(count(0.0, 0.0)))
    pauses = [made.pause_after(Unavailable("gone")) for _ in range(12)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE == max(pauses)


def test_chance_takes_up_to_half() -> None:
    for chance in (0.0, 0.3, 1.0):
        pause = attempts(1e9, chance, iter(count(0.0, 0.0))).pause_after(ResourceExhausted("full"))
        assert pause == FIRST_PAUSE * (0.5 + 0.5 * chance)


def test_no_attempt_begins_past_the_deadline() -> None:
    made = attempts(FIRST_PAUSE, 1.0, iter(count(0.0, 0.0)))
    with pytest.raises(Unavailable, match="gone") as raised:
        made.pause_after(Unavailable("gone"))
    assert raised.value.__notes__ == ["after 1 attempts; the deadline allows no other"]


def test_the_time_left_is_never_below_zero() -> None:
    assert attempts(5.0, 0.0, iter([2.0])).seconds_left() == 3.0
    assert attempts(5.0, 0.0, iter([7.0])).seconds_left() == 0.0


@pytest.mark.parametrize("failure", [InvalidArgument("no"), DeadlineExceeded("late"), TideraceError("?")])
def test_what_does_not_pass_is_raised_at_once(failure: TideraceError) -> None:
    with pytest.raises(type(failure)):
        attempts(1e9, 0.0, iter(count(0.0, 0.0))).pause_after(failure)


def test_a_call_whose_connection_ends_under_it_may_be_made_again() -> None:
    def told(details: str) -> TideraceError:
        code, nothing = grpc.StatusCode.INTERNAL, grpc.aio.Metadata()
        return of_rpc(grpc.aio.AioRpcError(code, nothing, nothing, details))

    assert type(told(BROKEN)) is Unavailable
    assert type(told("a bug")) is Internal
