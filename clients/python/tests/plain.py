"""Values of the client as the HTTP door writes them, to compare the two."""

from base64 import b64encode
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from tiderace import Completeness, OnlineFeatures


def plain(value: Any) -> Any:
    """Gives the JSON of a value."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return [{"key": plain(key), "value": plain(each)} for key, each in value.items()]
    return value


def name_of(completeness: Completeness) -> str:
    """Gives the JSON of completeness."""
    names = [flag.name or "" for flag in Completeness if completeness & flag]
    return "|".join(names) or "COMPLETE"


def same(answer: OnlineFeatures, json: Any) -> None:
    """Fails where an answer is not what the HTTP door says, value by value."""
    assert answer.names == json["features"]
    assert answer.fingerprint == json["fingerprint"]
    assert list(answer.types.values()) == json["types"]
    assert len(answer) == len(json["rows"])
    statuses, completeness = answer.statuses(), answer.completeness()
    for number, row in enumerate(json["rows"]):
        for place, name in enumerate(answer.names):
            value, expected = plain(answer[number][name]), row["values"][place]
            assert value == expected, f"{name} of row {number}"
            assert type(value) is type(expected), f"{name} of row {number}"
            assert statuses[name][number] == row["statuses"][place]
            assert name_of(completeness[name][number]) == row["completeness"][place]
