"""What is wrong is said, by whoever sees it first, with what to do."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas
import pytest
from sales import START

from tiderace import Client, InvalidArgument, NotFound, TideraceError

TILL = {"shop": "north", "till": 1}
ASKED = {"asked": 1.0}
NAIVE = datetime(2026, 1, 1)

CASES: dict[str, tuple[Callable[[Client], object], type[TideraceError], str]] = {
    "an unknown service": (
        lambda client: client.get_online_features("kind", TILL),
        NotFound,
        'unknown feature service "kind"; did you mean "kinds"?',
    ),
    "an unknown feature": (
        lambda client: client.get_online_features(["till_sales:sould"], TILL),
        NotFound,
        'has no feature "sould"; there is "sold_1d"',
    ),
    "a feature for a service": (
        lambda client: client.get_online_features("till_sales:sold", TILL),
        InvalidArgument,
        'give features as a list: ["till_sales:sold"]',
    ),
    "no feature": (
        lambda client: client.get_online_features([], TILL),
        InvalidArgument,
        "nothing is asked",
    ),
    "text for a number": (
        lambda client: client.get_online_features("kinds", {"shop": "north", "till": "1"}, ASKED),
        InvalidArgument,
        "send the number itself, not its text",
    ),
    "a null key": (
        lambda client: client.get_online_features("kinds", {"shop": None, "till": 1}, ASKED),
        InvalidArgument,
        "null is no key",
    ),
    "a key too few": (
        lambda client: client.get_online_features("kinds", {"shop": "north"}, ASKED),
        InvalidArgument,
        'needs entity key "till"',
    ),
    "a key too many": (
        lambda client: client.get_online_features("kinds", TILL | {"item": "tea"}, ASKED),
        InvalidArgument,
        '"item"',
    ),
    "no request data": (
        lambda client: client.get_online_features("kinds", TILL),
        InvalidArgument,
        '"asked"',
    ),
    "a NaN": (
        lambda client: client.get_online_features("kinds", TILL, {"asked": float("nan")}),
        InvalidArgument,
        "send null for none",
    ),
    "columns of other lengths": (
        lambda client: client.get_online_features("kinds", TILL, {"asked": [1.0, 2.0]}),
        InvalidArgument,
        "asked",
    ),
    "a cell among columns": (
        lambda client: client.get_online_features("kinds", {"shop": ["north"], "till": 1}, ASKED),
        InvalidArgument,
        'entities "till": one value, where others are columns; give one value per row',
    ),
    "rows of other names": (
        lambda client: client.get_online_features("kinds", [TILL, {"shop": "north"}], ASKED),
        InvalidArgument,
        "entities row 1: has ['shop'], but row 0 has ['shop', 'till']",
    ),
    "no row": (
        lambda client: client.get_online_features("kinds", [], ASKED),
        InvalidArgument,
        "entities: there is no row",
    ),
    "no rows at all": (
        lambda client: client.get_online_features("kinds", 596),  # type: ignore[arg-type]
        InvalidArgument,
        "entities: expected a row, columns, a list of rows, a DataFrame or an Arrow table, found int",
    ),
    "a frame without names": (
        lambda client: client.get_online_features("kinds", pandas.DataFrame([[1]])),
        InvalidArgument,
        "entities: column 0 needs a name of its own, as text",
    ),
    "a large number": (
        lambda client: client.get_online_features("kinds", {"shop": "north", "till": 2**63}, ASKED),
        InvalidArgument,
        'entities "till" row 0: 9223372036854775808 is no int64',
    ),
    "what no value is": (
        lambda client: client.get_online_features("kinds", TILL, {"asked": object()}),
        InvalidArgument,
        'request_data "asked" row 0: found object',
    ),
    "a decimal that is none": (
        lambda client: client.get_online_features("kinds", TILL, {"asked": Decimal("NaN")}),
        InvalidArgument,
        "NaN is no number; give None for null",
    ),
    "an instant without a zone": (
        lambda client: client.get_online_features("kinds", TILL, ASKED, as_of=NAIVE),
        InvalidArgument,
        "as_of: 2026-01-01T00:00:00 has no zone; give one, such as tzinfo=timezone.utc",
    ),
    "nanoseconds": (
        lambda client: client.get_online_features(
            "kinds", TILL, ASKED, as_of=pandas.Timestamp(START).as_unit("ns") + pandas.Timedelta(1, "ns")
        ),
        InvalidArgument,
        "is finer than microseconds; round it",
    ),
    "an unknown source": (
        lambda client: client.push("sale", {"id": "a"}),
        NotFound,
        'unknown source "sale"; did you mean "sales"?',
    ),
    "no event": (lambda client: client.push("sales", []), InvalidArgument, "nothing is pushed"),
    "an event that is no JSON": (
        lambda client: client.push("sales", [{"id": "a"}, {"id": object()}]),
        InvalidArgument,
        "event 1: found object",
    ),
    "a NaN in an event": (
        lambda client: client.push("sales", {"price": float("nan")}),
        InvalidArgument,
        "event 0: NaN and infinities are no JSON; give None for null",
    ),
    "an event without a zone": (
        lambda client: client.push("sales", {"at": NAIVE}),
        InvalidArgument,
        "event 0: 2026-01-01T00:00:00 has no zone",
    ),
    "an address with a scheme": (
        lambda client: Client("http://127.0.0.1:6565"),
        InvalidArgument,
        'expected host:port, such as "127.0.0.1:6565"',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(client: Client, case: str) -> None:
    call, error, said = CASES[case]
    with pytest.raises(error) as raised:
        call(client)
    assert said in str(raised.value)


def test_errors_are_also_those_of_python() -> None:
    assert issubclass(InvalidArgument, ValueError) and issubclass(NotFound, LookupError)


def test_a_large_answer_is_whole(client: Client) -> None:
    rows: dict[str, list[Any]] = {"shop": ["north"] * 1_000, "till": [1] * 1_000}
    answer = client.get_online_features("kinds", rows, {"asked": [1.0] * 1_000})
    assert len(answer) == 1_000
    with pytest.raises(InvalidArgument, match=r"1,?000"):
        client.get_online_features(["item_sales:*"], {"item": ["tea"] * 1_001})
