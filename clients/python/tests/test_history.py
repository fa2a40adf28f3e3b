"""Training sets are those of the command, beside the caller's own spine."""

import logging
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from served import Server, run

from tiderace import Client, DeadlineExceeded, HistoryFailed, InvalidArgument, get_historical_features

DEFINITIONS = """
kind: source
name: card_payments
stream: embedded
archive: { parquet: PAST, write: false }
columns:
  tx_id: int64
  tx_time: timestamp
  customer_id: int64
  terminal_id: int64
  amount: float64
  is_fraud: int64
event_time: tx_time
event_id: tx_id
complete_since: beginning
max_ahead: none
allowed_lateness: 365d
max_lag: 1h
expect:
  - { check: "amount >= 0", otherwise: reject }
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: entity
name: terminal
keys: { terminal_id: int64 }
---
kind: feature_view
name: customer_spend
entity: customer
source: card_payments
history: all
features:
  - { name: tx_count, aggregate: count, windows: [1d, 7d] }
  - { name: amount_avg, aggregate: avg, of: amount, windows: [7d] }
  - { name: top_terminals, aggregate: top_n, of: terminal_id, by: "sum(amount)", n: 3, windows: [7d] }
  - { name: times, aggregate: last_n, of: tx_time, n: 2, windows: [7d] }
  - { name: last_time, aggregate: last, of: tx_time, windows: [7d] }
  - { name: quiet_for, aggregate: time_since_last, windows: [7d] }
  - { name: terminals, aggregate: count_distinct, of: terminal_id, cap: 5, windows: [7d] }
---
kind: feature_view
name: terminal_risk
entity: terminal
source: card_payments
history: all
features:
  - { name: risk, aggregate: avg, of: is_fraud, windows: [7d], delay: 1d }
---
kind: feature_service
name: fraud
features: ["customer_spend:*", "terminal_risk:*"]
on_demand:
  - { name: ratio, expr: "amount / amount_avg_7d", request: { amount: float64 } }
"""

START = datetime(2026, 1, 1, tzinfo=UTC)
UTC_TIME = pyarrow.timestamp("us", "UTC")


@dataclass
class Past:
    """A project with a past, and payments of it that want features."""

    folder: Path
    payments: pyarrow.Table

    @property
    def project(self) -> Path:
        return self.folder / "project"

    def features(self, spine: Any, **options: Any) -> Any:
        return get_historical_features(spine, "fraud", project=self.project, **options)

    def command(self, spine: pyarrow.Table, *options: str) -> pyarrow.Table:
        """Runs the command itself."""
        given, made = self.folder / "given.parquet", self.folder / "made.parquet"
        pyarrow.parquet.write_table(spine, given)
        words = ["history", "--project", str(self.project), "--service", "fraud"]
        run(*words, "--spine", str(given), "--out", str(made), *options)
        return pyarrow.parquet.read_table(made)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    folder = tmp_path_factory.mktemp("past")
    dice = random.Random(7)
    rows = [
        {
            "tx_id": number,
            "tx_time": START + timedelta(seconds=dice.randrange(20 * 86_400), microseconds=number),
            "customer_id": dice.randrange(40),
            "terminal_id": dice.randrange(25),
            "amount": round(dice.expovariate(0.02), 2),
            "is_fraud": int(dice.random() < 0.1),
        }
        for number in range(4_000)
    ]
    payments = pyarrow.Table.from_pylist(rows)
    payments = payments.set_column(1, "tx_time", payments.column("tx_time").cast(UTC_TIME))
    (folder / "archive").mkdir()
    pyarrow.parquet.write_table(payments, folder / "archive/payments.parquet")
    (folder / "project").mkdir()
    (folder / "project/tiderace.yaml").write_text("project: past\n")
    definitions = DEFINITIONS.replace("PAST", str(folder / "archive"))
    (folder / "project/definitions.yaml").write_text(definitions)
    return Past(folder, payments)


def same(found: pyarrow.Table, expected: pyarrow.Table) -> None:
    assert found.column_names == expected.column_names
    for name in expected.column_names:
        column = expected.column(name)
        assert _utc(found.column(name).to_pylist()) == _utc(column.to_pylist()), name


def _utc(value: Any) -> Any:
    """The command's instants are in UTC, and its file does not say so."""
    if isinstance(value, list | tuple):
        return [_utc(each) for each in value]
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def test_it_is_the_commands_own_file(past: Past) -> None:
    spine = past.payments.slice(500, 1_500)
    found = past.features(spine)
    same(found, past.command(spine))
    assert found.select(spine.column_names).equals(spine)
    assert found.column("tx_count_7d").null_count == 0
    assert sum(found.column("tx_count_7d").to_pylist()) > 1_500
    assert b"rows into a training set" in found.schema.metadata[b"tiderace"]


def test_completeness_is_beside_each_feature(past: Past) -> None:
    spine = past.payments.slice(500, 100)
    found = past.features(spine, completeness=True)
    same(found, past.command(spine, "--completeness"))
    # The source is whole from the beginning.
    assert set(found.column("tx_count_7d__completeness").to_pylist()) == {"COMPLETE"}


def test_a_frame_keeps_its_rows_index_and_columns(past: Past) -> None:
    table = past.payments.slice(0, 400)
    spine = table.to_pandas().sample(frac=1.0, random_state=3)
    spine["label"] = spine["is_fraud"].astype("category")
    spine["amount"] = spine["amount"].astype("float32")
    spine.attrs["mine"] = 1
    before = spine.copy()
    found = past.features(spine, exclude="tx_id")
    pandas.testing.assert_frame_equal(spine, before)
    pandas.testing.assert_frame_equal(found[spine.columns], before, check_like=False)
    assert list(found.index) == list(spine.index) and found.attrs["mine"] == 1
    assert "rows into a training set" in found.attrs["tiderace"]
    expected = past.command(pyarrow.Table.from_pandas(spine, preserve_index=False), "--exclude", "tx_id")
    for name in expected.column_names[len(spine.columns) :]:
        values = expected.column(name).to_pylist(maps_as_pydicts="strict")
        for cell, value in zip(found[name], values, strict=True):
            assert cell == _utc(value) if value is not None else cell is None or pandas.isna(cell), name


def test_offline_and_online_have_the_same_types(past: Past) -> None:
    server = Server(past.folder / "online", DEFINITIONS.replace("PAST", str(past.folder / "archive")))
    server.start()
    spine = past.payments.slice(0, 1)
    at = spine.column("tx_time").to_pylist()[0]
    with Client(server.address, timeout=30) as client:
        keys = spine.select(["customer_id", "terminal_id"])
        answer = client.get_online_features("fraud", keys, spine.select(["amount"]), as_of=at)
    server.stop()
    frame, table = past.features(spine.to_pandas()), past.features(spine)
    assert list(frame[answer.names].dtypes) == list(answer.to_pandas().dtypes)
    for name, kind in zip(answer.names, answer.to_arrow().schema.types, strict=True):
        assert table.schema.field(name).type == kind or _alike(table.schema.field(name).type, kind), name


def _alike(found: pyarrow.DataType, kind: pyarrow.DataType) -> bool:
    """Whether types differ in the names of their insides only."""
    return pyarrow.types.is_nested(kind) and found.num_fields == kind.num_fields and found.id == kind.id


def test_its_options_are_the_commands(past: Past, tmp_path: Path) -> None:
    spine = past.payments.slice(0, 300).rename_columns(
        ["tx_id", "seen_at", "customer_id", "terminal_id", "amount", "is_fraud"]
    )
    with pytest.raises(HistoryFailed, match="which column has the instants"):
        past.features(spine)
    with_own = past.features(spine, timestamp="seen_at")
    less = past.features(
        spine,
        timestamp="seen_at",
        exclude="tx_id",
        memory="4MiB",
        scratch=tmp_path,
        threads=1,
    )
    counts = [table.column("tx_count_1d").to_pylist() for table in (with_own, less)]
    assert [own - 1 for own in counts[0]] == counts[1]
    assert list(tmp_path.iterdir()) == []
    # Another past: that of the first half of the payments.
    half = tmp_path / "half.parquet"
    pyarrow.parquet.write_table(past.payments.slice(0, 2_000), half)
    fewer = past.features(spine, timestamp="seen_at", tables={"card_payments": half})
    assert sum(fewer.column("tx_count_7d").to_pylist()) < sum(with_own.column("tx_count_7d").to_pylist())


def test_what_it_tells_is_told(past: Past, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tiderace")
    spine = past.payments.slice(0, 50)
    past.features(spine.select(["customer_id", "terminal_id", "tx_time", "amount"]).slice(0, 1))
    assert {record.levelno for record in caplog.records if "view " in record.message} == {logging.INFO}
    caplog.clear()
    bad = past.payments.slice(0, 1).set_column(4, "amount", pyarrow.array([-1.0]))
    pyarrow.parquet.write_table(pyarrow.concat_tables([past.payments, bad]), tmp_path / "past.parquet")
    found = past.features(spine, tables={"card_payments": tmp_path / "past.parquet"})
    warned = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert any("1 refused" in line for line in warned), warned
    assert any("terminals_7d are approximate" in line for line in warned), warned
    assert b"1 refused" in found.schema.metadata[b"tiderace"]


def test_errors_have_the_commands_words(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    spine = past.payments.slice(0, 10)
    with pytest.raises(HistoryFailed, match=r"^unknown feature service `fraudd`; the project has: fraud"):
        get_historical_features(spine, "fraudd", project=past.project)
    with pytest.raises(HistoryFailed, match="there is no column `customer_id`"):
        past.features(spine.drop_columns(["customer_id"]))
    with pytest.raises(HistoryFailed, match="rename it"):
        past.features(spine.append_column("ratio", pyarrow.nulls(10)))
    with pytest.raises(HistoryFailed, match="is not a size"):
        past.features(spine, memory="much")
    with pytest.raises(HistoryFailed, match="no/such is no command: install it, or name it by `binary`"):
        past.features(spine, binary="no/such")
    monkeypatch.delenv("TIDERACE_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(HistoryFailed, match="there is no `tiderace` in PATH"):
        past.features(spine)


def test_a_spine_that_is_none(past: Past) -> None:
    with pytest.raises(InvalidArgument, match="expected a DataFrame or an Arrow table, found list"):
        past.features([1])
    with pytest.raises(InvalidArgument, match="every column needs a name of its own"):
        past.features(pandas.DataFrame([[1, 2]]))
    with pytest.raises(InvalidArgument, match="spine"):
        past.features(pandas.DataFrame({"customer_id": [1, "a"], "tx_time": [START, START]}))
    odd = pandas.DataFrame({"odd": [1 + 2j]})
    with pytest.raises(InvalidArgument, match="spine"):
        past.features(odd)


def test_a_deadline(past: Past) -> None:
    with pytest.raises(DeadlineExceeded, match=r"no training set within 0\.001 s"):
        past.features(past.payments, timeout=0.001)


def test_an_instant_without_a_zone_is_in_utc(past: Past) -> None:
    spine = past.payments.slice(0, 100).to_pandas()
    naive = spine.assign(tx_time=spine["tx_time"].dt.tz_localize(None))
    columns = ["tx_count_1d", "amount_avg_7d", "ratio"]
    pandas.testing.assert_frame_equal(past.features(naive)[columns], past.features(spine)[columns])


def test_decimals_and_nulls_of_a_spine_stay(past: Past) -> None:
    spine = past.payments.slice(0, 3)
    spine = spine.append_column("paid", pyarrow.array([Decimal("1.50"), None, Decimal("2.25")]))
    spine = spine.set_column(2, "customer_id", pyarrow.array([1, None, 3]))
    found = past.features(spine)
    assert found.column("paid").equals(spine.column("paid"))
    assert found.column("tx_count_7d").to_pylist()[1] is None
