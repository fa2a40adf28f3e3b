//! `tiderace token`, and what of a token is ever written down.

use crate::world::{PAYMENT, SPEND, Visitor, World, denials};

#[test]
fn a_token_is_made_and_its_hash_goes_into_the_definitions() {
    let world = World::new();
    let said = world.command(&["token", "scoring"]);
    let text = String::from_utf8(said.stdout).expect("text");
    let token = text.lines().next().expect("a line").to_owned();
    assert!(token.starts_with("tdr_"), "{text}");
    let (_, yaml) = text.split_once("serving:\n").expect("definitions");
    let given = yaml.replace("services: []", "services: [\"*\"]");
    world.protect(&given);
    assert!(
        !std::fs::read_to_string(world.folder().join("tiderace.yaml"))
            .expect("read")
            .contains(&token)
    );
    let anybody = Visitor::default();
    let server = world.run(&anybody);
    let http = server.ports().http;
    let known = anybody.with_token(&token);
    assert_eq!(
        known.post(http, "/v1/features", SPEND).expect("asked").0,
        200
    );

    // Whatever is wrong with what is brought: it is denied, told, and not written down.
    let wrong = [
        format!("{token}0"),
        token[..token.len() - 1].to_owned(),
        token.to_uppercase(),
        "secret-of-mine".to_owned(),
        "x".repeat(9_000),
    ];
    for wrong in &wrong {
        let denied = anybody.with_token(wrong).post(http, "/v1/features", SPEND);
        let (status, body) = denied.expect("an answer");
        assert_eq!(status, 401, "{body}");
        assert!(
            body.contains("UNAUTHENTICATED") && !body.contains(wrong),
            "{body}"
        );
    }
    let query = format!("/v1/push/card_payments?token={token}");
    assert_eq!(
        anybody.post(http, &query, PAYMENT).expect("an answer").0,
        401
    );
    let log = server.log();
    assert_eq!(denials(&log).len(), wrong.len() + 1, "{log}");
    for secret in wrong.iter().chain([&token]) {
        assert!(!log.contains(secret.as_str()), "a token in the log");
    }
    server.stop().expect("it stops");
}
