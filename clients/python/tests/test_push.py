"""Events on their way in: what may be given, and that they count."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy
from sales import START
from served import Server, run, until

from tiderace import Client, Durability

AT = START + timedelta(days=2)


def test_events_of_every_form_count(client: Client) -> None:
    first = {"id": "form-0", "at": AT, "shop": "forms", "till": 1, "item": "물"}
    second = first | {"id": "form-1", "at": AT.astimezone(timezone(timedelta(hours=9)))}
    third = '{"id": "form-2", "at": "2026-01-03T00:00:00Z", "shop": "forms", "till": 1}'
    fourth = b'{"id": "form-3", "at": "2026-01-03T00:00:00Z", "shop": "forms", "till": 1}'
    assert client.push("sales", first).count == 1
    pushed = client.push("sales", [second, third, fourth], durability=Durability.PROCESS)
    assert pushed.count == 3 and pushed.first_offset is not None
    # A copy counts once.
    assert client.push("sales", first).first_offset == pushed.first_offset + 3

    def counted() -> int:
        keys = {"shop": "forms", "till": 1}
        return int(client.get_online_features(["till_sales:sold"], keys, as_of=AT)[0]["sold_1d"])

    until("the events to count", lambda: counted() >= 4)
    last = {"id": "form-4", "at": AT - timedelta(minutes=1), "shop": "forms", "till": 1}
    client.push("sales", last)
    until("another to count", lambda: counted() >= 5)
    assert counted() == 5


def test_a_sale_is_in_the_features_that_are_asked_with_it(client: Client) -> None:
    keys = {"shop": "scored", "till": 1}
    now = datetime.now(UTC)
    for number in range(1, 4):
        sale = {"id": f"scored-{number}", "at": now + timedelta(milliseconds=number)} | keys
        # A copy counts once, and is told where it is to be left out.
        for include_events in [False, True, True, False]:
            scored = client.push_and_get(
                "sales", sale, ["till_sales:sold"], keys, include_events=include_events
            )
            assert scored.features[0]["sold_1d"] == number - (not include_events)
            assert scored.pushed.count == 1 and scored.refused == ()
    bad = client.push_and_get("sales", '{"id": "bad"}', ["till_sales:sold"], keys)
    assert bad.refused[0].index == 0 and bad.refused[0].view is None
    assert bad.features[0]["sold_1d"] == 3


def test_every_type_of_value_comes_back(client: Client) -> None:
    event = {
        "id": "types",
        "at": AT + timedelta(microseconds=1),
        "shop": "types",
        "till": numpy.int64(1),
        "item": "ㄱ\n\"'",
        "price": numpy.float64(0.1),
        "paid": Decimal("12.30"),
        "card": False,
        "chip": b"\x00\xff",
        "opened": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    }
    client.push("sales", event)

    def answer() -> dict[str, object]:
        keys, at = {"shop": "types", "till": 1}, AT + timedelta(hours=1)
        return client.get_online_features("kinds", keys, {"asked": 1}, as_of=at)[0]

    until("the event to count", lambda: answer()["sold_1d"] == 1)
    found = answer()
    names = {
        "item": "last_item_7d",
        "card": "last_card_7d",
        "chip": "last_chip_7d",
        "opened": "last_opened_7d",
    }
    for column, feature in names.items():
        assert found[feature] == event[column]
    assert found["price_avg_1d"] == 0.1 and str(found["paid_sum_7d"]) == "12.30"


def test_a_bad_event_is_a_dead_letter(server: Server, client: Client) -> None:
    assert client.push("sales", {"id": None, "at": AT}).count == 1
    words = ["dead-letters", "list", "--project", str(server.folder), "sales"]
    until("the dead letter", lambda: "null_id" in run(*words))
