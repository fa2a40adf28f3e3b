"""Training sets: features as they stood at the instants of a spine's rows.

The values are made by `tiderace history`, which must be installed here: by the code that answers
live, from the tables that the project names. `docs/history.md` says what they are.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, overload

from tiderace import _types
from tiderace.errors import DeadlineExceeded, HistoryFailed, InvalidArgument

if TYPE_CHECKING:
    import pandas
    import pyarrow

_log = logging.getLogger(__name__)

TOLD = "tiderace"
"""The key of what the command told, in `attrs` of a DataFrame and in metadata of an Arrow schema."""


@overload
def get_historical_features(
    spine: pandas.DataFrame,
    service: str,
    *,
    project: str | PathLike[str] | None = None,
    timestamp: str | None = None,
    exclude: str | None = None,
    completeness: bool = False,
    tables: Mapping[str, str | PathLike[str]] | None = None,
    memory: str | None = None,
    scratch: str | PathLike[str] | None = None,
    threads: int | None = None,
    binary: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> pandas.DataFrame: ...


@overload
def get_historical_features(
    spine: pyarrow.Table,
    service: str,
    *,
    project: str | PathLike[str] | None = None,
    timestamp: str | None = None,
    exclude: str | None = None,
    completeness: bool = False,
    tables: Mapping[str, str | PathLike[str]] | None = None,
    memory: str | None = None,
    scratch: str | PathLike[str] | None = None,
    threads: int | None = None,
    binary: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> pyarrow.Table: ...


def get_historical_features(
    spine: Any,
    service: str,
    *,
    project: str | PathLike[str] | None = None,
    timestamp: str | None = None,
    exclude: str | None = None,
    completeness: bool = False,
    tables: Mapping[str, str | PathLike[str]] | None = None,
    memory: str | None = None,
    scratch: str | PathLike[str] | None = None,
    threads: int | None = None,
    binary: str | PathLike[str] | None = None,
    timeout: float | None = None,
) -> Any:
    """Gives the spine with the features of a service beside it, as they stood at each row's instant.

    The spine, a DataFrame or an Arrow table, has the keys of the service's entities, an instant, and
    what on-demand features take from a request. Its rows, their order, its columns and its index
    stay as they are. Instants without a zone are in UTC.

    - `project`: the folder with the definitions; else `TIDERACE_PROJECT`, else `features`.
    - `timestamp`: the column with the instants; else `event_timestamp`, `timestamp`, or the event
      time of a source of the service, whichever there is.
    - `exclude`: a column with the id of an event of the row, which is left out of its features:
      usually the event that is to be judged.
    - `completeness`: whether each feature has a column `FEATURE__completeness` beside it: `COMPLETE`, or
      `WARMING` where its window begins before the past does, so that it may lack events.
    - `tables`: a source's past, in place of its archive.
    - `memory`, `scratch`, `threads`: what it may use: `"4GiB"`, a folder, a number. The spine and
      the answer lie in `scratch` for a while, and in the memory of this process.
    - `binary`: the command; else `TIDERACE_BIN`, else `tiderace` in PATH.
    - `timeout`: seconds, after which the command is ended; none unless told.

    What the command tells is logged, and is in `attrs["tiderace"]` (in Arrow: in the schema's
    metadata): a warning where rows of tables were left out, or answers are null for a reason or
    approximate. Raises `HistoryFailed` with what the command says where it fails.
    """
    arrow, parquet = _types.needed("pyarrow"), _types.needed("pyarrow.parquet")
    table = _table(arrow, spine)
    command = [_binary(binary), "history", "--service", service]
    options = {
        "--project": project,
        "--timestamp": timestamp,
        "--exclude": exclude,
        "--memory": memory,
        "--scratch": scratch,
        "--threads": threads,
    }
    for name, value in options.items():
        if value is not None:
            command += [name, os.fspath(value) if isinstance(value, PathLike) else str(value)]
    if completeness:
        command.append("--completeness")
    for source, place in (tables or {}).items():
        command += ["--table", f"{source}={os.fspath(place)}"]
    with TemporaryDirectory(prefix="tiderace-", dir=scratch) as folder:
        given, made = Path(folder) / "spine.parquet", Path(folder) / "training.parquet"
        try:
            parquet.write_table(table, given)
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
            raise InvalidArgument(f"the spine cannot be written as Parquet: {error}") from error
        told = _run([*command, "--spine", str(given), "--out", str(made)], timeout)
        features = parquet.read_table(made).select(_new_columns(parquet, made, table))
    if features.num_rows != table.num_rows:
        raise HistoryFailed(f"{features.num_rows} rows came of a spine of {table.num_rows}")
    told = told.replace(str(made), "a training set")
    _tell(told)
    features = _in_utc(arrow, features)
    if spine is table:
        return _beside(table, features, told)
    return _beside_frame(spine, features, told)


def _table(arrow: Any, spine: Any) -> Any:
    """The spine as Arrow has it."""
    if isinstance(spine, arrow.Table):
        return spine
    if not (hasattr(spine, "iloc") and hasattr(spine, "columns")):
        raise InvalidArgument(f"spine: expected a DataFrame or an Arrow table, found {type(spine).__name__}")
    if not all(isinstance(name, str) for name in spine.columns) or spine.columns.has_duplicates:
        raise InvalidArgument("spine: every column needs a name of its own, as text")
    try:
        return arrow.Table.from_pandas(spine, preserve_index=False)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError) as error:
        raise InvalidArgument(f"spine: {error}") from error


def _binary(given: str | PathLike[str] | None) -> str:
    named = given or os.environ.get("TIDERACE_BIN")
    found = shutil.which(named or "tiderace")
    if found is None:
        what = f"{os.fspath(named)} is no command" if named else "there is no `tiderace` in PATH"
        raise HistoryFailed(f"{what}: install it, or name it by `binary` or TIDERACE_BIN")
    return found


def _run(command: list[str], timeout: float | None) -> str:
    """Runs the command; gives what it prints."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, "NO_COLOR": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineExceeded(f"no training set within {timeout} s") from error
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise HistoryFailed(said.removeprefix("error: "))
    return done.stdout


def _new_columns(parquet: Any, made: Path, table: Any) -> list[str]:
    names: list[str] = parquet.read_schema(made).names
    return names[len(table.column_names) :]


_EXPECTED = re.compile(
    r"\d+ rows into .*"
    r"|view \S+: \d+ events of \d+ rows(, \d+ outside its `where`)?"
    r"|\d+ copies of events, which count once"
)
"""What need not be known. Any other line is a warning: better one too many."""


def _tell(told: str) -> None:
    for line in told.splitlines():
        level = logging.INFO if _EXPECTED.fullmatch(line) else logging.WARNING
        _log.log(level, "%s", line)


def _in_utc(arrow: Any, features: Any) -> Any:
    """Says of instants that they are in UTC, which the file does not."""
    for place, field in enumerate(features.schema):
        kind = _type_in_utc(arrow, field.type)
        if kind != field.type:
            features = features.set_column(place, field.name, features.column(place).cast(kind))
    return features


def _type_in_utc(arrow: Any, kind: Any) -> Any:
    if arrow.types.is_timestamp(kind):
        return arrow.timestamp(kind.unit, "UTC")
    if arrow.types.is_list(kind):
        return arrow.list_(_type_in_utc(arrow, kind.value_type))
    if arrow.types.is_map(kind):
        return arrow.map_(_type_in_utc(arrow, kind.key_type), _type_in_utc(arrow, kind.item_type))
    return kind


def _beside(table: Any, features: Any, told: str) -> Any:
    for name in features.column_names:
        table = table.append_column(name, features.column(name))
    return table.replace_schema_metadata({**(table.schema.metadata or {}), TOLD: told})


def _beside_frame(spine: Any, features: Any, told: str) -> Any:
    pandas, arrow = _types.needed("pandas"), _types.needed("pyarrow")
    dtypes = {arrow.int64(): pandas.Int64Dtype(), arrow.bool_(): pandas.BooleanDtype()}
    columns = {}
    for field in features.schema:
        column = features.column(field.name)
        if arrow.types.is_nested(field.type):
            values = column.to_pylist(maps_as_pydicts="strict")
            columns[field.name] = pandas.Series(values, index=spine.index, dtype="object")
        elif arrow.types.is_string(field.type):
            values = column.to_pylist()
            columns[field.name] = pandas.Series(values, index=spine.index, dtype="object")
        else:
            series = column.to_pandas(types_mapper=dtypes.get)
            columns[field.name] = series.set_axis(spine.index)
    frame = pandas.concat([spine, pandas.DataFrame(columns, index=spine.index)], axis=1)
    frame.attrs = {**spine.attrs, TOLD: told}
    return frame
