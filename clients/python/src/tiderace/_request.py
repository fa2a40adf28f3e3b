"""Python values into the columns of a request.

Nothing is guessed: what is sent is what was given, and the server says where it does not fit. Text
is no number, an instant without a zone is refused, and a NaN is one, but in a DataFrame, where it
stands for null.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Union

from google.protobuf.timestamp_pb2 import Timestamp

from tiderace.errors import InvalidArgument
from tiderace.v1 import lookup_pb2, value_pb2

if TYPE_CHECKING:
    import pandas
    import pyarrow

Rows = Union[
    Mapping[str, Any],
    Sequence[Mapping[str, Any]],
    "pandas.DataFrame",
    "pyarrow.Table",
    "pyarrow.RecordBatch",
]
"""One row (`{"customer_id": 596}`), columns (`{"customer_id": [596, 597]}`), a list of rows, or a table."""


@dataclass
class Table:
    """What was given for entities or for request data, as columns."""

    columns: dict[str, list[Any]]
    index: Any = None
    """The index of the DataFrame that it was."""


def table(what: str, rows: Rows) -> Table:
    """Takes any of the forms of `Rows` for columns."""
    given: Any = rows
    if isinstance(given, Mapping):
        return Table(_of_mapping(what, given))
    if hasattr(given, "column_names"):
        return Table({name: given.column(name).to_pylist() for name in given.column_names})
    if hasattr(given, "iloc") and hasattr(given, "columns"):
        return Table(_of_frame(what, given), given.index)
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return Table(_of_rows(what, given))
    raise InvalidArgument(
        f"{what}: expected a row, columns, a list of rows, a DataFrame or an Arrow table, "
        f"found {type(given).__name__}"
    )


def _of_mapping(what: str, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    are_cells = {name: _is_cell(value) for name, value in given.items()}
    if all(are_cells.values()):
        return {name: [value] for name, value in given.items()}
    for name, is_cell in are_cells.items():
        if is_cell:
            raise InvalidArgument(
                f'{what} "{name}": one value, where others are columns; give one value per row'
            )
    return {name: _listed(column) for name, column in given.items()}


def _is_cell(value: Any) -> bool:
    if isinstance(value, str | bytes | bytearray | memoryview):
        return True
    return not isinstance(value, Iterable) or getattr(value, "ndim", None) == 0


def _listed(column: Any) -> list[Any]:
    """The cells of a list, of an array or of a Series, in which what is missing is null."""
    if hasattr(column, "isna"):
        return [None if missing else cell for cell, missing in zip(column, column.isna(), strict=True)]
    if hasattr(column, "to_pylist"):
        return list(column.to_pylist())
    if hasattr(column, "tolist"):
        return list(column.tolist())
    return list(column)


def _of_frame(what: str, frame: Any) -> dict[str, list[Any]]:
    names = list(frame.columns)
    for place, name in enumerate(names):
        if not isinstance(name, str) or name in names[:place]:
            raise InvalidArgument(f"{what}: column {name!r} needs a name of its own, as text")
    return {name: _listed(frame[name]) for name in names}


def _of_rows(what: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    if not rows:
        raise InvalidArgument(f"{what}: there is no row; give at least one")
    names = list(rows[0])
    for place, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise InvalidArgument(
                f"{what} row {place}: has {sorted(row)}, but row 0 has {sorted(names)}; "
                "every row needs the same names, with None for null"
            )
    return {name: [row[name] for row in rows] for name in names}


def columns(what: str, given: Table) -> list[value_pb2.Column]:
    """Makes the messages of columns, each in the cheapest form that holds it."""
    return [_column(f'{what} "{name}"', name, cells) for name, cells in given.columns.items()]


def _column(what: str, name: str, cells: list[Any]) -> value_pb2.Column:
    column = value_pb2.Column(name=name)
    kinds = set(map(type, cells))
    if kinds == {int}:
        for row, cell in enumerate(cells):
            _check_int(what, row, cell)
        column.int64s.values.extend(cells)
    elif kinds == {str}:
        column.strings.values.extend(cells)
    elif kinds == {float}:
        column.doubles.values.extend(cells)
    elif kinds == {bool}:
        column.bools.values.extend(cells)
    elif kinds == {bytes}:
        column.bytes.values.extend(cells)
    else:
        column.any.values.extend(_value(what, row, cell) for row, cell in enumerate(cells))
        # A column without cells is still one of a form.
        column.any.SetInParent()
    return column


def _value(what: str, row: int, cell: Any) -> value_pb2.Value:
    if type(cell).__module__ == "numpy" and hasattr(cell, "item"):
        cell = cell.item()
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return value_pb2.Value(null_value="NULL_VALUE")
    if isinstance(cell, bool):
        return value_pb2.Value(bool_value=cell)
    if isinstance(cell, int):
        _check_int(what, row, cell)
        return value_pb2.Value(int64_value=cell)
    if isinstance(cell, float):
        return value_pb2.Value(double_value=cell)
    if isinstance(cell, str):
        return value_pb2.Value(string_value=cell)
    if isinstance(cell, bytes | bytearray | memoryview):
        return value_pb2.Value(bytes_value=bytes(cell))
    if isinstance(cell, Decimal):
        if not cell.is_finite():
            raise InvalidArgument(f"{what} row {row}: {cell} is no number; give None for null")
        return value_pb2.Value(decimal_value=f"{cell:f}")
    if isinstance(cell, datetime):
        return value_pb2.Value(timestamp_value=instant(f"{what} row {row}", cell))
    raise InvalidArgument(
        f"{what} row {row}: found {type(cell).__name__}; expected None, a bool, int, float, "
        "Decimal, str, bytes or datetime"
    )


def _check_int(what: str, row: int, cell: int) -> None:
    if not -(1 << 63) <= cell < 1 << 63:
        raise InvalidArgument(f"{what} row {row}: {cell} is no int64; it needs 64 bits at most")


_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


def instant(what: str, at: datetime) -> Timestamp:
    """Makes the message of an instant, exactly."""
    if at.utcoffset() is None:
        raise InvalidArgument(f"{what}: {at.isoformat()} has no zone; give one, such as tzinfo=timezone.utc")
    if getattr(at, "nanosecond", 0):
        raise InvalidArgument(f"{what}: {at.isoformat()} is finer than microseconds; round it")
    since = at - _SINCE
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def lookup(
    features: str | Sequence[str],
    entities: Table,
    request_data: Rows | None,
    as_of: datetime | None,
    full_names: bool,
    include_valid_until: bool,
) -> lookup_pb2.GetOnlineFeaturesRequest:
    """Makes the request of a lookup. Metadata is always asked for: it is how types are known."""
    request = lookup_pb2.GetOnlineFeaturesRequest(
        entities=columns("entities", entities),
        full_names=full_names,
        include_metadata=True,
        include_valid_until=include_valid_until,
    )
    if isinstance(features, str):
        if ":" in features:
            raise InvalidArgument(
                f'"{features}" is a feature, not a service; give features as a list: ["{features}"]'
            )
        request.feature_service = features
    else:
        request.features.names.extend(features)
    if request_data is not None:
        request.request_data.extend(columns("request_data", table("request_data", request_data)))
    if as_of is not None:
        request.as_of.CopyFrom(instant("as_of", as_of))
    return request
