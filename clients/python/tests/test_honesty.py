"""A zero that means that nothing happened is told from one that means that nothing is known yet."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sales import START
from served import Server, until

from tiderace import Client, Completeness, IncompleteFeatures, Status, Value

AT = START + timedelta(days=6, hours=3)


def test_nothing_happened_is_complete(client: Client) -> None:
    answer = client.get_online_features(["item_sales:sold"], {"item": "nothing"}, as_of=AT)
    assert answer[0] == {"sold_1d": 0}
    assert answer.statuses() == {"sold_1d": [Status.NOT_FOUND]}
    assert answer.completeness() == {"sold_1d": [Completeness.COMPLETE]}
    assert answer.incomplete() == [] and answer.raise_unless_complete() is answer
    assert repr(answer) == "<OnlineFeatures: 1 rows of 1 features>"


def test_not_known_yet_is_not(server: Server, client: Client) -> None:
    answer = client.get_online_features(["shop_visits:visits"], {"shop": ["north", "south"]})
    assert answer.to_dict() == {"visits_1d": [0, 0]}
    assert answer.completeness() == {"visits_1d": [Completeness.WARMING] * 2}
    assert "2 values not complete" in repr(answer)
    with pytest.raises(IncompleteFeatures) as raised:
        answer.raise_unless_complete()
    told = str(raised.value)
    assert told.startswith('2 of 2 values are not complete: row 0 "visits_1d": WARMING'), told
    assert answer.raise_unless_complete(allow=Completeness.WARMING) is answer
    http = server.features(features=["shop_visits:visits"], entities={"shop": ["north"]})
    assert http["rows"][0]["completeness"] == ["WARMING"]


def test_since_when_it_is_known(client: Client) -> None:
    now = datetime.now(UTC)
    client.push("visits", {"at": now, "shop": "west"})

    def visits() -> Value:
        answer = client.get_online_features(["shop_visits:visits"], {"shop": "west"})
        return answer.value("visits_1d")

    def known() -> bool:
        view = visits().view
        return visits().value == 1 and view is not None and view.warming_since is not None

    until("the visit to count", known)
    value = visits()
    assert value.status is Status.PRESENT and not value.is_complete()
    assert value.view and value.view.warming_since and value.view.warming_since >= now
    assert value.view.newest_event_time == now


def test_an_error_says_why(client: Client) -> None:
    cells = {
        "money_in": Decimal(1),
        "instant_in": AT,
        "text_in": "",
        "flag_in": True,
        "raw_in": b"",
        "number_in": 0,
    }
    answer = client.get_online_features("echo", {"item": "tea"}, cells, as_of=AT)
    value = answer.value("tenth")
    assert value.value is None and value.status is Status.ERROR
    assert value.message and "zero" in value.message.lower(), value.message
    assert answer[0]["number"] == 0
    with pytest.raises(IncompleteFeatures, match=r'1 of 8 values .*"tenth": ERROR: .*[Zz]ero'):
        answer.raise_unless_complete(allow=Completeness.WARMING | Completeness.STALE)


def test_what_is_approximate_has_its_bound(server: Server, client: Client) -> None:
    # More tills than the feature's cap.
    answer = client.get_online_features(["item_sales:tills"], {"item": "coffee"}, as_of=AT)
    value = answer.value("tills_7d")
    assert value.completeness is Completeness.APPROXIMATE
    assert value.bound and value.bound.relative and value.bound.absolute is None
    http = server.features(
        features=["item_sales:tills"],
        entities={"item": ["coffee"]},
        as_of=AT.isoformat(),
    )
    (bound,) = http["rows"][0]["bounds"]
    assert (value.bound.relative, value.bound.confidence) == (bound["relative"], bound["confidence"])
    with pytest.raises(IncompleteFeatures, match="APPROXIMATE"):
        answer.raise_unless_complete()
    assert answer.raise_unless_complete(allow=Completeness.APPROXIMATE) is answer
