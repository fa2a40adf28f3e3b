"""Types as definition files write them, and what they are in pandas and in Arrow.

One table for both directions, online and offline: a model sees in production the types that it was
trained with.

| definition | Python | pandas | Arrow |
|---|---|---|---|
| `bool` | bool | `boolean` | `bool` |
| `int64` | int | `Int64` | `int64` |
| `float64` | float | `float64`, null as NaN | `float64` |
| `decimal(p, s)` | Decimal | object | `decimal128(p, s)` |
| `string` | str | object | `string` |
| `bytes` | bytes | object | `binary` |
| `timestamp` | datetime in UTC | `datetime64[us, UTC]` | `timestamp[us, UTC]` |
| `duration` | timedelta | `timedelta64[us]` | `duration[us]` |
| `list<T>` | list | object | `list<T>` |
| `map<K, V>` | dict, in its order | object | `map<K, V>` |
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from tiderace.errors import Internal, TideraceError

_PANDAS = {
    "bool": "boolean",
    "int64": "Int64",
    "float64": "float64",
    "timestamp": "datetime64[us, UTC]",
    "duration": "timedelta64[us]",
}


def needed(package: str) -> Any:
    """Imports an optional package."""
    try:
        return import_module(package)
    except ImportError as error:
        raise TideraceError(f"{package} is not installed; pip install 'tiderace[{package}]'") from error


def pandas_dtype(name: str) -> str:
    """Says what a column of a type is in pandas."""
    return _PANDAS.get(name, "object")


def arrow_type(name: str) -> Any:
    """Says what a column of a type is in Arrow."""
    arrow = needed("pyarrow")
    plain = {
        "bool": arrow.bool_(),
        "int64": arrow.int64(),
        "float64": arrow.float64(),
        "string": arrow.string(),
        "bytes": arrow.binary(),
        "timestamp": arrow.timestamp("us", "UTC"),
        "duration": arrow.duration("us"),
    }
    if name in plain:
        return plain[name]
    if match := re.fullmatch(r"decimal\((\d+), (-?\d+)\)", name):
        return arrow.decimal128(int(match[1]), int(match[2]))
    if match := re.fullmatch(r"list<(.+)>", name):
        return arrow.list_(arrow_type(match[1]))
    if match := re.fullmatch(r"map<(.+)>", name):
        key, value = _halves(match[1])
        return arrow.map_(arrow_type(key), arrow_type(value))
    raise Internal(f'type "{name}" is of a newer server; upgrade this package')


def _halves(text: str) -> tuple[str, str]:
    """Cuts `K, V` at the comma that stands in no brackets."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "<(") - (letter in ">)")
        if depth == 0 and letter == ",":
            return text[:place].strip(), text[place + 1 :].strip()
    raise Internal(f'type "map<{text}>" is of a newer server; upgrade this package')
