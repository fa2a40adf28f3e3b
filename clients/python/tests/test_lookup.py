"""Values are the server's, exactly, whatever the form of the question."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pyarrow
import pytest
from plain import plain, same
from sales import START, events
from served import Server, run

from tiderace import Client, OnlineFeatures, Status

AT = START + timedelta(days=6, hours=3, microseconds=41)
TEXT = "2026-01-07T03:00:00.000041Z"


def test_every_type_is_as_http_says(server: Server, client: Client) -> None:
    tills = {"shop": ["north", "south", "north", "nowhere"], "till": [1, 3, 5, 1]}
    asked = {"asked": [1.0, 2.5, None, 0.1]}
    answer = client.get_online_features("kinds", tills, asked, as_of=AT)
    http = {"service": "kinds", "entities": tills, "request_data": asked, "as_of": TEXT}
    same(answer, server.features(**http, include_metadata=True))
    assert answer.as_of == AT
    types = {
        "sold_1d": int,
        "price_avg_1d": float,
        "paid_sum_7d": Decimal,
        "last_item_7d": str,
        "last_card_7d": bool,
        "last_chip_7d": bytes,
        "last_opened_7d": datetime,
        "quiet_for_7d": timedelta,
        "items_7d": list,
        "openings_7d": list,
        "top_items_7d": dict,
        "top_prices_7d": dict,
        "ratio": float,
    }
    found = answer[0] | {name: value for name, value in answer[1].items() if value is not None}
    for name, kind in types.items():
        assert type(found[name]) is kind, name
    heaviest = list(answer[0]["top_items_7d"].values())
    assert heaviest == sorted(heaviest, reverse=True)
    assert answer[0]["last_opened_7d"].tzinfo is UTC
    # Nothing happened there: a count is 0 and the rest null, and the status says which.
    assert answer[3]["sold_7d"] == 0 and answer[3]["price_avg_1d"] is None
    assert answer.statuses()["sold_7d"] == [Status.PRESENT] * 3 + [Status.NOT_FOUND]


def test_a_hundred_entities(server: Server, client: Client) -> None:
    tills = {"shop": ["north", "south"] * 50, "till": [row % 12 for row in range(100)]}
    asked = {"asked": [row / 7 for row in range(100)]}
    answer = client.get_online_features("kinds", tills, asked, as_of=AT)
    assert len(answer) == 100
    http = {"service": "kinds", "entities": tills, "request_data": asked, "as_of": TEXT}
    same(answer, server.features(**http, include_metadata=True))
    assert len({repr(answer[row]) for row in range(100)}) > 50


def test_what_get_prints(server: Server, client: Client) -> None:
    words = ["get", "--project", str(server.folder), "kinds", "shop=north", "till=4", "asked=2.5"]
    printed = json.loads(run(*words, "--as-of", TEXT, "--format", "json"))
    answer = client.get_online_features("kinds", {"shop": "north", "till": 4}, {"asked": 2.5}, as_of=AT)
    same(answer, printed)


def test_several_entities_with_composite_keys(server: Server, client: Client) -> None:
    keys = {"shop": ["north", "south"], "till": [1, 0], "item": ["tea", "물"]}
    answer = client.get_online_features("both", keys, as_of=AT)
    same(answer, server.features(service="both", entities=keys, as_of=TEXT, include_metadata=True))
    # Two views have a feature of that name.
    assert answer.names[0] == "till_sales__sold_1d" and "item_sales__sold_1d" in answer.names


def test_features_by_name(server: Server, client: Client) -> None:
    names = ["till_sales:sold", "item_sales:tills_7d", "shop_taps:*"]
    keys = {"shop": "north", "till": 1, "item": "tea"}
    answer = client.get_online_features(names, keys, as_of=AT, full_names=True)
    assert answer.names == [
        "till_sales__sold_1d",
        "till_sales__sold_7d",
        "item_sales__tills_7d",
        "shop_taps__taps_1d",
    ]
    columns = {name: [key] for name, key in keys.items()}
    http = {"features": names, "entities": columns, "full_names": True, "include_metadata": True}
    same(answer, server.features(**http, as_of=TEXT))


FORMS: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "columns": lambda rows: {name: [row[name] for row in rows] for name in rows[0]},
    "rows": lambda rows: rows,
    "DataFrame": lambda rows: pandas.DataFrame(rows),
    "Arrow": lambda rows: pyarrow.Table.from_pylist(rows),
    "batch": lambda rows: pyarrow.RecordBatch.from_pylist(rows),
    "arrays": lambda rows: {name: numpy.array([row[name] for row in rows]) for name in rows[0]},
    "Series": lambda rows: {name: pandas.Series([row[name] for row in rows]) for name in rows[0]},
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_rows_are_one(client: Client, form: str) -> None:
    tills = [{"shop": "north", "till": till} for till in range(8)]
    asked = [{"asked": till / 3} for till in range(8)]
    expected = [_one(client, *pair) for pair in zip(tills, asked, strict=True)]
    answer = client.get_online_features("kinds", FORMS[form](tills), FORMS[form](asked), as_of=AT)
    assert [answer[row] for row in range(8)] == [each[0] for each in expected]


def _one(client: Client, till: dict[str, Any], asked: dict[str, Any]) -> OnlineFeatures:
    return client.get_online_features("kinds", till, asked, as_of=AT)


def test_request_data_of_every_type(client: Client) -> None:
    cells: dict[str, list[Any]] = {
        "money_in": [Decimal("57.1"), "-0.05", 12, None],
        "instant_in": [AT, "2018-04-01T00:00:31Z", pandas.Timestamp(AT), None],
        "text_in": ["물", "", "a", None],
        "flag_in": [True, False, numpy.True_, None],
        "raw_in": [b"\xff\x00", bytearray(b"a"), b"", None],
        "number_in": [-(2**63), 2**63 - 1, numpy.int32(10), None],
    }
    answer = client.get_online_features("echo", {"item": ["tea"] * 4}, cells, as_of=AT)
    assert answer.to_dict() | {"sold_1d": None, "tenth": None} == {
        "sold_1d": None,
        "money": [Decimal("57.10"), Decimal("-0.05"), Decimal("12.00"), None],
        "instant": [AT, datetime(2018, 4, 1, 0, 0, 31, tzinfo=UTC), AT, None],
        "text": ["물", "", "a", None],
        "flag": [True, False, True, None],
        "raw": [b"\xff\x00", b"a", b"", None],
        "number": [-(2**63), 2**63 - 1, 10, None],
        "tenth": None,
    }
    assert str(answer[0]["money"]) == "57.10"


def test_missing_cells_of_a_frame_are_null(client: Client) -> None:
    frame = pandas.DataFrame({"asked": [1.5, float("nan")]})
    tills = pandas.DataFrame({"shop": ["north", "north"], "till": [1, 1]})
    answer = client.get_online_features("kinds", tills, frame, as_of=AT)
    assert answer[0]["ratio"] is not None
    assert answer[1]["ratio"] is None and answer[1]["sold_7d"] == answer[0]["sold_7d"]


def test_now_when_no_instant_is_given(client: Client) -> None:
    answer = client.get_online_features("both", {"shop": "north", "till": 1, "item": "tea"})
    assert abs(datetime.now(UTC) - answer.as_of) < timedelta(minutes=1)


def test_until_when_values_stand(server: Server, client: Client) -> None:
    till, asked = {"shop": "north", "till": 1}, {"asked": 1.0}
    answer = client.get_online_features("kinds", till, asked, as_of=AT, include_valid_until=True)
    http = server.features(
        service="kinds",
        entities={"shop": ["north"], "till": [1]},
        request_data={"asked": [1.0]},
        as_of=TEXT,
        include_valid_until=True,
    )
    ends = {answer.names[end["index"]]: end["valid_until"] for end in http["rows"][0]["valid_until"]}
    assert ends
    for name in answer.names:
        assert plain(answer.value(name).valid_until) == ends.get(name)


def test_frames_have_the_types_of_the_definition(client: Client) -> None:
    index = pandas.Index([30, 10, 20])
    tills = pandas.DataFrame({"shop": ["north", "nowhere", "south"], "till": [1, 1, 3]}, index=index)
    asked = pandas.DataFrame({"asked": [1.0, 2.0, 3.0]}, index=index)
    answer = client.get_online_features("kinds", tills, asked, as_of=AT)
    frame = answer.to_pandas()
    assert list(frame.columns) == answer.names and list(frame.index) == [30, 10, 20]
    nobody = client.get_online_features("kinds", tills.iloc[[1]], asked.iloc[[1]], as_of=AT)
    # Whatever is null, the types are the same: those of the definition.
    assert list(nobody.to_pandas().dtypes) == list(frame.dtypes)
    assert nobody.to_arrow().schema == answer.to_arrow().schema
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert types["sold_7d"] == "Int64" and types["price_avg_1d"] == "float64"
    assert types["last_card_7d"] == "boolean" and types["last_opened_7d"] == "datetime64[us, UTC]"
    assert types["quiet_for_7d"] == "timedelta64[us]" and types["top_items_7d"] == "object"
    for name in answer.names:
        for row in range(3):
            value, cell = answer[row][name], frame[name].iloc[row]
            assert cell == value if value is not None else cell is None or pandas.isna(cell), name
    for name, column in zip(answer.names, answer.to_arrow().columns, strict=True):
        cells = [dict(cell) if "map" in answer.types[name] and cell else cell for cell in column.to_pylist()]
        assert cells == answer.to_dict()[name], name


def test_the_answer_counts_what_was_pushed(client: Client) -> None:
    sales = events(1_500)
    for till in range(9):
        for shop in ("north", "south"):
            answer = client.get_online_features("kinds", {"shop": shop, "till": till}, {"asked": 1}, as_of=AT)
            mine = [sale for sale in sales if (sale["shop"], sale["till"]) == (shop, till)]
            recent = [sale for sale in mine if AT - timedelta(days=7) < sale["at"] <= AT]
            assert answer[0]["sold_7d"] == len(recent)
            assert answer[0]["paid_sum_7d"] == (sum(sale["paid"] for sale in recent) if recent else None)
            if recent:
                assert answer[0]["quiet_for_7d"] == AT - recent[-1]["at"]
