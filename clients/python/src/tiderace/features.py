"""The answer of a lookup: values, and beside each how far to believe it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntFlag, StrEnum
from typing import TYPE_CHECKING, Any, Self

from tiderace import _types
from tiderace._value import to_datetime, to_python, to_timedelta
from tiderace.errors import IncompleteFeatures, Internal
from tiderace.v1 import lookup_pb2

if TYPE_CHECKING:
    import pandas
    import pyarrow


class Status(StrEnum):
    """What became of a value."""

    PRESENT = "PRESENT"
    """There is a value."""
    NULL = "NULL"
    """The entity is known; the value is null."""
    NOT_FOUND = "NOT_FOUND"
    """The entity has no event within reach: counts are 0, the rest null or the declared default."""
    OUTSIDE_MAX_AGE = "OUTSIDE_MAX_AGE"
    """The newest event is older than the view's `max_age`: null, as the definition wants it."""
    OUTSIDE_HISTORY = "OUTSIDE_HISTORY"
    """`as_of` is further back than what is kept can answer: null."""
    UNAVAILABLE = "UNAVAILABLE"
    """The store does not say (yet) what the view holds: null."""
    ERROR = "ERROR"
    """The value cannot be computed: null, with a message."""


UNKNOWN = frozenset({Status.OUTSIDE_HISTORY, Status.UNAVAILABLE, Status.ERROR})
"""With these statuses nothing is known of the value: its null says nothing."""


class Completeness(IntFlag):
    """How complete a value is."""

    COMPLETE = 0
    """Every event that there is up to `as_of` is in it."""
    WARMING = 1
    """The window begins before the view's rows do: events may be missing at its beginning."""
    STALE = 2
    """The rows are further behind their source than it allows: events may be missing at its end."""
    APPROXIMATE = 4
    """The value is approximate, within its bound."""


@dataclass(frozen=True)
class Bound:
    """How far an approximate value may be from the exact one; one of the first three is set."""

    relative: float | None
    absolute: float | None
    least_keys: int | None
    confidence: float
    edges_off: timedelta | None
    """By how long the edges of the window are off, where they are."""


@dataclass(frozen=True)
class ViewDetails:
    """How far the view of a row can be believed."""

    name: str
    warming_since: datetime | None
    """Since when its rows hold every event; `None`: from the beginning, or nothing is known yet."""
    lag: timedelta | None
    """How long ago they were last known to hold everything; `None`: unavailable."""
    newest_event_time: datetime | None
    """The event time of the entity's newest event at `as_of`."""
    fingerprint: str
    """The definition of the rows."""


@dataclass(frozen=True)
class Value:
    """One value, with all that the server says of it."""

    value: Any
    status: Status
    completeness: Completeness
    message: str | None
    """What is the matter, where the status needs it."""
    bound: Bound | None
    valid_until: datetime | None
    """When it may be another with no further event; only if asked for. `None`: never."""
    view: ViewDetails | None
    """The view it is of; `None` for an on-demand feature."""

    def is_complete(self, allow: Completeness = Completeness.COMPLETE) -> bool:
        """Tells whether it is what all events up to `as_of` say, but for what `allow` lets pass."""
        return self.status not in UNKNOWN and not self.completeness & ~allow


class OnlineFeatures:
    """Rows of values, in the order of the request.

    A null or a zero alone does not say whether nothing happened or nothing is known:
    `raise_unless_complete`, `statuses`, `completeness` and `value` do.
    """

    def __init__(self, response: lookup_pb2.GetOnlineFeaturesResponse, index: Any = None) -> None:
        """Reads a response; `index` is that of the DataFrame whose rows were asked for."""
        metadata = response.metadata
        self.names: list[str] = list(metadata.feature_names)
        """The features, in the order of the service or of the list; on-demand ones last."""
        self.types: dict[str, str] = {
            name: feature.type for name, feature in zip(self.names, metadata.features, strict=True)
        }
        """Their types, as definition files write them."""
        self.fingerprint: str = metadata.fingerprint
        """Changes whenever the meaning of any of them changes."""
        self.as_of: datetime = to_datetime(response.as_of)
        """The instant that the answer is for."""
        self._views = [feature.view for feature in metadata.features]
        self._places = {name: place for place, name in enumerate(self.names)}
        self._rows = response.rows
        self._values = [[to_python(value) for value in row.values] for row in response.rows]
        self._statuses = [[_status(number) for number in row.statuses] for row in response.rows]
        self._index = index

    def __len__(self) -> int:
        """Counts the rows."""
        return len(self._values)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Gives the values of one row by name."""
        return dict(zip(self.names, self._values[row], strict=True))

    def __repr__(self) -> str:
        """Says how much there is, and how much of it is not complete."""
        incomplete = len(self.incomplete())
        remark = f", {incomplete} values not complete" if incomplete else ""
        return f"<OnlineFeatures: {len(self)} rows of {len(self.names)} features{remark}>"

    def to_dict(self) -> dict[str, list[Any]]:
        """Gives the values by name, one per row."""
        return self._by_name(self._values)

    def statuses(self) -> dict[str, list[Status]]:
        """Says what became of each value: by name, one per row."""
        return self._by_name(self._statuses)

    def completeness(self) -> dict[str, list[Completeness]]:
        """Says how complete each value is: by name, one per row."""
        return self._by_name([[*map(Completeness, row.completeness)] for row in self._rows])

    def value(self, name: str, row: int = 0) -> Value:
        """Gives one value with all that is said of it."""
        return self._value(self._places[name], row)

    def incomplete(self, allow: Completeness = Completeness.COMPLETE) -> list[tuple[int, str, Value]]:
        """Lists the values that are not complete: row, name, and what is said of it."""
        return [
            (row, name, self._value(place, row))
            for row, message in enumerate(self._rows)
            for place, name in enumerate(self.names)
            if self._statuses[row][place] in UNKNOWN or message.completeness[place] & ~allow
        ]

    def raise_unless_complete(self, allow: Completeness = Completeness.COMPLETE) -> Self:
        """Gives the answer itself, if every value is what all events up to `as_of` say.

        `allow` names what passes all the same: `Completeness.APPROXIMATE`, say. A value that is
        unavailable, outside history or an error never passes. Raises `IncompleteFeatures`, which
        names the values.
        """
        incomplete = self.incomplete(allow)
        if not incomplete:
            return self
        told = [f'row {row} "{name}": {_reason(value)}' for row, name, value in incomplete[:5]]
        more = f"; and {len(incomplete) - 5} more" if len(incomplete) > 5 else ""
        count = len(self.names) * len(self)
        raise IncompleteFeatures(
            f"{len(incomplete)} of {count} values are not complete: {'; '.join(told)}{more}"
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Gives the values as a DataFrame, a column per feature.

        Types depend on the definition only, never on which values are null: `tiderace._types` has
        the table. The index is that of the DataFrame that was asked for, if it was one.
        """
        frames = _types.needed("pandas")
        columns = {
            name: frames.Series(values, index=self._index, dtype=_types.pandas_dtype(self.types[name]))
            for name, values in self.to_dict().items()
        }
        frame: pandas.DataFrame = frames.DataFrame(columns, index=self._index)
        return frame

    def to_arrow(self) -> pyarrow.Table:
        """Gives the values as an Arrow table, with the types of the definition."""
        arrow = _types.needed("pyarrow")
        columns = {}
        for name, values in self.to_dict().items():
            kind = _types.arrow_type(self.types[name])
            columns[name] = arrow.array([_entries(value) for value in values], type=kind)
        table: pyarrow.Table = arrow.table(columns)
        return table

    def _by_name(self, rows: list[list[Any]]) -> dict[str, list[Any]]:
        return {name: [row[place] for row in rows] for place, name in enumerate(self.names)}

    def _value(self, place: int, row: int) -> Value:
        message = self._rows[row]
        said = [each.message for each in message.messages if each.index == place]
        bounds = [_bound(each) for each in message.bounds if each.index == place]
        ends = [to_datetime(each.valid_until) for each in message.ends if each.index == place]
        views = [_view(each) for each in message.views if each.view == self._views[place]]
        return Value(
            value=self._values[row][place],
            status=self._statuses[row][place],
            completeness=Completeness(message.completeness[place]),
            message=said[0] if said else None,
            bound=bounds[0] if bounds else None,
            valid_until=ends[0] if ends else None,
            view=views[0] if views else None,
        )


def _status(number: int) -> Status:
    status = _STATUSES.get(number)
    if status is None:
        raise Internal(f"status {number} is of a newer server; upgrade this package")
    return status


_STATUSES = {lookup_pb2.Status.Value(f"STATUS_{status}"): status for status in Status}


def _entries(value: Any) -> Any:
    """Arrow takes maps as pairs."""
    if isinstance(value, dict):
        return [(key, _entries(each)) for key, each in value.items()]
    if isinstance(value, list):
        return [_entries(each) for each in value]
    return value


def _reason(value: Value) -> str:
    if value.status in UNKNOWN:
        return value.status if value.message is None else f"{value.status}: {value.message}"
    reasons = []
    for flag in Completeness:
        if value.completeness & flag:
            reasons.append(flag.name or "")
    reason = "|".join(reasons) or f"completeness {int(value.completeness)}"
    if value.view and value.completeness & Completeness.WARMING:
        reason += f" since {value.view.warming_since}"
    if value.view and value.view.lag and value.completeness & Completeness.STALE:
        reason += f" by {value.view.lag.total_seconds():.1f} s"
    return reason


def _bound(bound: lookup_pb2.ValueBound) -> Bound:
    which = bound.WhichOneof("bound")
    return Bound(
        relative=bound.relative if which == "relative" else None,
        absolute=bound.absolute if which == "absolute" else None,
        least_keys=bound.least_keys if which == "least_keys" else None,
        confidence=bound.confidence,
        edges_off=to_timedelta(bound.edges_off) if bound.HasField("edges_off") else None,
    )


def _view(view: lookup_pb2.ViewDetails) -> ViewDetails:
    newest = view.newest_event_time if view.HasField("newest_event_time") else None
    since = view.warming_since if view.HasField("warming_since") else None
    return ViewDetails(
        name=view.view,
        warming_since=None if since is None else to_datetime(since),
        lag=to_timedelta(view.lag) if view.HasField("lag") else None,
        newest_event_time=None if newest is None else to_datetime(newest),
        fingerprint=view.fingerprint,
    )
