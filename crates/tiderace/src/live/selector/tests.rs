use super::*;
use std::path::Path;
use tiderace_plan::SourceFile;
use tiderace_types::{Partition, RecordMeta, SourceId};

/// Which of `records` are another table's, and which are in doubt, for a source that selects so.
fn check(
    format: &str,
    columns: &str,
    select: &str,
    records: &[&str],
    others: &[u32],
    doubt: &[u32],
) {
    let text = format!(
        "project: test\nkafka: {{ brokers: nowhere }}\n---\nkind: source\nname: s\n\
         stream: {{ kafka: {{ topic: t }}, format: {format} }}\n\
         columns: {{ at: timestamp, {columns} }}\nevent_time: at\nselect: \"{select}\"\n"
    );
    let path = Path::new("tiderace.yaml").display().to_string();
    let (loaded, found) = tiderace_plan::load(&[SourceFile { path, text }], &|_| None);
    let loaded = loaded.unwrap_or_else(|| panic!("{found:?}"));
    let source = &loaded.plan.sources[0];
    let selection = source.select.as_ref().expect("a selection");
    let mut batch = RecordBatch::default();
    for (offset, record) in records.iter().enumerate() {
        let partition = Partition {
            source: SourceId(1),
            number: 0,
        };
        let meta = RecordMeta {
            partition,
            offset: offset as i64,
            broker_time: Timestamp(0),
        };
        batch.push(meta, record.as_bytes());
    }
    let found = Selector::new(source, selection).mark(&mut batch);
    let found: Vec<u32> = found.iter().map(|rejected| rejected.record).collect();
    assert_eq!(batch.others, others, "{select}");
    assert_eq!(found, doubt, "{select}");
}

#[test]
fn records_for_which_the_condition_is_not_true_are_of_other_tables() {
    check(
        "json",
        "kind: string, n: int64",
        "kind = 'payment' AND coalesce(n, 0) < 5",
        &[
            r#"{"kind": "payment", "at": "never", "n": 1}"#,
            r#"{"kind": "refund", "n": 1}"#,
            r#"{"n": 1}"#,
            r#"{"kind": "payment"}"#,
            r#"{"kind": "payment", "n": 7}"#,
            r#"{"kind": "payment", "n": "many"}"#,
            "not json",
        ],
        &[1, 2, 4, 5, 6],
        &[5, 6],
    );
}

#[test]
fn a_condition_that_fails_leaves_a_doubt() {
    check(
        "json",
        "n: int64",
        "10 / n = 5",
        &[r#"{"n": 2}"#, r#"{"n": 0}"#, r#"{"n": 5}"#],
        &[1, 2],
        &[1],
    );
}

#[test]
fn changes_are_told_by_their_envelope_with_or_without_a_schema_beside_it() {
    check(
        "debezium_json",
        "table: { type: string, path: $.source.table }",
        "\\\"table\\\" = 'orders'",
        &[
            r#"{"before": null, "after": {}, "source": {"table": "orders"}, "op": "u"}"#,
            r#"{"before": null, "after": {}, "source": {"table": "items"}, "op": "u"}"#,
            r#"{"schema": {}, "payload": {"source": {"table": "orders"}, "op": "d"}}"#,
            r#"{"schema": {}, "payload": {"source": {"table": "items"}, "op": "d"}}"#,
            r#"{"op": "m"}"#,
        ],
        &[1, 3, 4],
        &[],
    );
}
