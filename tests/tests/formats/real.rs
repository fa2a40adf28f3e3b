//! A real registry: what is tested elsewhere with one that misbehaves on request holds with one that
//! many run.

use crate::support::project;
use crate::{avro, contract, protobuf};
use tiderace_testkit::registry::{Apicurio, Reference};

#[test]
fn a_real_registry() {
    let registry = Apicurio::start().expect("a registry");
    let register = |subject: &str, kind: &str, text: &str, refers: &[Reference<'_>]| {
        let registered = registry.register(subject, kind, text, refers);
        registered.expect("register")
    };
    avro::changes("real_avro", &registry.url(), |subject, text| {
        register(subject, "AVRO", text, &[])
    });
    protobuf::changes("real_protobuf", &registry.url(), |subject, text, refers| {
        register(subject, "PROTOBUF", text, refers)
    });

    // A contract that a new version breaks.
    let topic = "real_contract";
    let source = format!(
        "stream: {{ kafka: {{ topic: {topic} }}, format: avro }}
columns:
  id: int64
  at: timestamp
  customer_id: {{ type: int64, nullable: false }}
  amount: float64
event_id: id"
    );
    let project = project(topic, &source, Some(registry.url()));
    let subject = format!("{topic}-value");
    let (_, told) = contract::check(&project, &["--online"]);
    assert!(told.contains("no subject `real_contract-value`"), "{told}");
    register(&subject, "AVRO", contract::BEFORE, &[]);
    let (output, told) = contract::check(&project, &["--online"]);
    assert!(output.status.success(), "{told}");
    let after = contract::BEFORE.replace("{\"name\": \"amount\", \"type\": \"double\"},", "");
    assert_ne!(after, contract::BEFORE);
    register(&subject, "AVRO", &after, &[]);
    let (output, told) = contract::check(&project, &["--online"]);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let broken =
        "column `amount` was removed: version 1 has it, version 2 of `real_contract-value`";
    assert!(told.contains(broken), "{told}");
}
