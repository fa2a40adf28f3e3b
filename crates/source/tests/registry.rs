//! The client of schema registries, against one that answers well, badly, slowly and not at all.

use std::time::{Duration, Instant};
use tiderace_source::{KeptSchemas, Kind, Registry, RegistryConfig, SchemaKind};
use tiderace_testkit::registry::{Mode, Registry as Stub};

fn config(stub: &Stub) -> RegistryConfig {
    RegistryConfig {
        url: stub.url(),
        login: None,
        ca: None,
        timeout: Duration::from_secs(2),
    }
}

fn client(stub: &Stub) -> Registry {
    Registry::new(&config(stub)).expect("a client")
}

#[test]
fn a_schema_comes_with_all_it_refers_to() {
    let stub = Stub::start().expect("a registry");
    stub.register("money", "PROTOBUF", "message Money {}");
    stub.register_with(
        "common/v1",
        "PROTOBUF",
        "import \"money.proto\";",
        &[("money.proto", "money", 1)],
    );
    let id = stub.register_with(
        "payments-value",
        "PROTOBUF",
        "import \"common.proto\"; import \"money.proto\";",
        &[
            ("common.proto", "common/v1", 1),
            ("money.proto", "money", 1),
        ],
    );
    let registry = client(&stub);
    let found = registry.schema(id).expect("an answer").expect("a schema");
    assert_eq!(found.kind, SchemaKind::Protobuf);
    let names: Vec<&str> = found.references.iter().map(|(name, _)| &**name).collect();
    // What is referred to comes before what refers to it, and once.
    assert_eq!(names, ["money.proto", "common.proto"]);
    let avro = stub.register("payments-value", "AVRO", "\"string\"");
    let found = registry.schema(avro).expect("an answer").expect("a schema");
    assert_eq!((found.kind, &*found.text), (SchemaKind::Avro, "\"string\""));
    let versions = registry.versions("payments-value").expect("an answer");
    assert_eq!(versions, Some(vec![1, 2]));
    let second = registry.version("payments-value", 2).expect("an answer");
    assert_eq!(second.expect("a version").id, avro);
    for unknown in ["payments-key", "../schemas/ids/1"] {
        assert_eq!(registry.versions(unknown).expect("an answer"), None);
    }
    assert_eq!(registry.version("money", 7).expect("an answer"), None);
}

#[test]
fn a_schema_that_refers_to_itself_comes_to_an_end() {
    let stub = Stub::start().expect("a registry");
    for name in ["a", "b"] {
        let other = if name == "a" { "b" } else { "a" };
        stub.register_with(name, "AVRO", name, &[(other, other, 1)]);
    }
    let found = client(&stub)
        .schema(1)
        .expect("an answer")
        .expect("a schema");
    assert_eq!(found.references.len(), 2);
    for depth in 0..40 {
        let (name, next) = (format!("deep{depth}"), format!("deep{}", depth + 1));
        stub.register_with(&name, "AVRO", &name, &[(&next, &next, 1)]);
    }
    let deep = stub.register_with("deepest", "AVRO", "x", &[("deep0", "deep0", 1)]);
    let error = client(&stub).schema(deep).expect_err("too deep");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
}

#[test]
fn only_a_registry_s_own_word_makes_a_schema_unknown() {
    let stub = Stub::start().expect("a registry");
    let id = stub.register("payments-value", "AVRO", "\"long\"");
    let registry = client(&stub);
    assert_eq!(registry.schema(id + 1).expect("an answer"), None);
    for (mode, kind) in [
        (Mode::Away, Kind::Retry),
        (Mode::Status(500), Kind::Retry),
        (Mode::Status(503), Kind::Retry),
        (Mode::Status(429), Kind::Retry),
        (Mode::Status(409), Kind::Invalid),
        (Mode::Status(401), Kind::Invalid),
        (Mode::NotARegistry, Kind::Invalid),
        (Mode::WrongId, Kind::Invalid),
        (Mode::Cut, Kind::Invalid),
        (Mode::Redirect, Kind::Invalid),
        (Mode::Endless, Kind::Invalid),
    ] {
        stub.behave(mode);
        let error = registry.schema(id).expect_err("no answer to believe");
        assert_eq!(error.kind(), kind, "{mode:?}: {error}");
        assert!(error.to_string().contains(&stub.url()), "{error}");
    }
    stub.behave(Mode::Slow(Duration::from_secs(60)));
    let began = Instant::now();
    let error = registry.schema(id).expect_err("no answer in time");
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
    stub.behave(Mode::Fine);
    assert!(registry.schema(id).expect("an answer").is_some());
}

#[test]
fn who_does_not_sign_in_is_told_so() {
    let stub = Stub::start().expect("a registry");
    let id = stub.register("payments-value", "AVRO", "\"long\"");
    stub.require_login("reader", "pass:word");
    let error = client(&stub).schema(id).expect_err("refused");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    let login = Some(("reader".to_owned(), "pass:word".to_owned()));
    let config = RegistryConfig {
        login,
        ..config(&stub)
    };
    let registry = Registry::new(&config).expect("a client");
    assert!(registry.schema(id).expect("an answer").is_some());
}

#[test]
fn what_was_fetched_is_there_while_the_registry_is_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let stub = Stub::start().expect("a registry");
    let id = stub.register("payments-value", "AVRO", "\"long\"");
    let open = |stub: &Stub| KeptSchemas::open(client(stub), folder.path()).expect("open");
    let fetched = open(&stub).get(id).expect("an answer");
    assert!(fetched.is_some());
    stub.behave(Mode::Away);
    let kept = open(&stub);
    assert_eq!(kept.get(id).expect("kept"), fetched);
    let error = kept.get(id + 1).expect_err("away");
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    // Another registry's numbers are other schemas.
    let other = Stub::start().expect("a registry");
    assert_eq!(open(&other).get(id).expect("an answer"), None);
    // What is not what was written is fetched again.
    stub.behave(Mode::Fine);
    for own in std::fs::read_dir(folder.path()).expect("a folder") {
        let file = own.expect("an entry").path().join(format!("{id}.json"));
        if let Ok(text) = std::fs::read_to_string(&file) {
            std::fs::write(&file, text.replace("long", "lung")).expect("written");
        }
    }
    assert_eq!(open(&stub).get(id).expect("an answer"), fetched);
}
