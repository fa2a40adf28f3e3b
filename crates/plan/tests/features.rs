//! The example project loads, and means what it says.

use std::fs;
use std::path::Path;
use tiderace_aggregate::{Function, IdKind, Kept, Span};
use tiderace_plan::model::{Limits, Password, Plan, View};
use tiderace_plan::{Loaded, SourceFile, load, render_text};
use tiderace_types::{DataType, Duration};

const DAY: i64 = 24 * 60 * 60;

fn example() -> Loaded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../features");
    let mut files: Vec<SourceFile> = fs::read_dir(folder)
        .expect("the example project")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| SourceFile {
            path: path.display().to_string(),
            text: fs::read_to_string(&path).expect("readable"),
        })
        .collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    load_good(&files)
}

fn load_good(files: &[SourceFile]) -> Loaded {
    let (loaded, found) = load(files, &|_| None);
    assert_eq!(render_text(&found, false), "");
    loaded.expect("no errors, so a plan")
}

fn view<'a>(plan: &'a Plan, name: &str) -> &'a View {
    plan.views
        .iter()
        .find(|view| view.name == name)
        .expect(name)
}

fn outputs(view: &View) -> Vec<String> {
    view.spec
        .outputs
        .iter()
        .map(|output| format!("{} {}", output.name, output.data_type))
        .collect()
}

#[test]
fn the_example_loads_and_is_typed() {
    let Loaded { plan, tests, .. } = example();
    assert_eq!(plan.project.name, "card_risk");
    assert_eq!(
        (plan.sources.len(), plan.entities.len(), plan.services.len()),
        (1, 2, 1)
    );
    assert_eq!(tests.len(), 4);
    let spend = view(&plan, "customer_spend");
    assert_eq!(
        outputs(spend),
        [
            "tx_count_1d int64",
            "tx_count_7d int64",
            "tx_count_30d int64",
            "amount_avg_1d float64",
            "amount_avg_7d float64",
            "amount_avg_30d float64",
            "amount_sum_1d float64",
            "amount_sum_7d float64",
            "amount_sum_30d float64",
            "amount_min_30d float64",
            "amount_max_30d float64",
            "terminals_7d int64",
            "top_terminals_30d map<int64, float64>",
            "first_amount_30d float64",
            "last_amount_30d float64",
            "night_count_7d int64",
        ]
    );
    let risk = view(&plan, "terminal_risk");
    assert_eq!(
        outputs(risk),
        [
            "tx_count_1d_delay_7d int64",
            "tx_count_7d_delay_7d int64",
            "tx_count_30d_delay_7d int64",
            "risk_1d_delay_7d float64",
            "risk_7d_delay_7d float64",
            "risk_30d_delay_7d float64",
            "velocity_1h int64",
        ]
    );
    let service = &plan.services[0];
    assert_eq!(service.features.len(), 3 + 3 + 1 + 1 + 1 + 7);
    assert_eq!(service.on_demand[0].data_type, DataType::Float64);
    // The request comes after the features; the ratio needs it and one feature.
    assert_eq!(service.on_demand[0].expr.columns(), [5, 16]);
}

#[test]
fn inputs_are_shared_and_only_what_is_used_is_decoded() {
    let Loaded { plan, .. } = example();
    let source = &plan.sources[0];
    assert_eq!(source.used, [0, 1, 2, 3, 4, 5]);
    assert_eq!(source.allowed_lateness, Duration::from_secs(DAY));
    assert_eq!(source.max_ahead, Some(Duration::from_secs(600)));
    let spend = view(&plan, "customer_spend");
    assert_eq!(spend.spec.inputs, [DataType::Float64, DataType::Int64]);
    assert_eq!(spend.inputs[0].canonical(), "amount");
    assert_eq!(spend.inputs[1].canonical(), "terminal_id");
    assert_eq!((spend.spec.filters, spend.filters.len()), (1, 1));
    assert_eq!(spend.spec.id, IdKind::Int64);
    assert_eq!(spend.keys, [2]);
    let top = &spend.spec.outputs[12];
    assert_eq!(top.function, Function::TopN { n: 3, cap: 256 });
    assert_eq!((top.input, top.by, top.filter), (Some(1), Some(0), None));
    assert_eq!(spend.spec.outputs[15].filter, Some(0));
    assert_eq!(
        view(&plan, "terminal_risk").spec.kept,
        Kept::Span {
            reach: Duration::from_secs(37 * DAY),
            history: Duration::ZERO,
            lateness: Duration::from_secs(DAY + 600),
        }
    );
}

fn one_view(features: &str, view: &str) -> Plan {
    let base = include_str!("base.yaml")
        .split("---\nkind: feature_view")
        .next();
    let text = format!(
        "{}---\nkind: feature_view\nname: v\nentity: customer\nsource: payments\n{view}\nfeatures:\n{features}",
        base.expect("a base")
    );
    let file = SourceFile {
        path: "v.yaml".to_owned(),
        text,
    };
    load_good(&[file]).plan
}

#[test]
fn result_types_and_windows_follow_the_rules() {
    let plan = one_view(
        "
  - { name: a, aggregate: sum, of: price, windows: [lifetime, { size: 7d, delay: 2d }] }
  - { name: b, aggregate: avg, of: price, windows: [1h 30m], delay: 1d }
  - { name: c, aggregate: avg, of: id, windows: [{ size: 2w, as: fortnight }] }
  - { name: d, aggregate: top_n, of: place, n: 2, by: sum(price), windows: [1d] }
  - { name: e, aggregate: first, of: place, windows: [1d], as: first_place, default: nowhere }
  - { name: f, aggregate: count, of: raw, windows: [1d], default: 1 }
  - { name: g, aggregate: max, of: 'upper(place)', windows: [1d], where: online }
  - { name: h, aggregate: min, of: at, windows: [1d], where: (online) }
",
        "history: 3d",
    );
    let view = &plan.views[0];
    assert_eq!(
        outputs(view),
        [
            "a_lifetime decimal(38, 2)",
            "a_7d_delay_2d decimal(38, 2)",
            "b_1h30m_delay_1d decimal(38, 6)",
            "fortnight float64",
            "d_1d map<string, decimal(38, 2)>",
            "first_place string",
            "f_1d int64",
            "g_1d string",
            "h_1d timestamp",
        ]
    );
    assert_eq!(view.spec.outputs[0].window.span, Span::Lifetime);
    assert_eq!(view.spec.filters, 1);
    assert_eq!(
        view.spec.kept,
        Kept::Span {
            reach: Duration::from_secs(14 * DAY),
            history: Duration::from_secs(3 * DAY),
            // allowed_lateness, and max_ahead's default.
            lateness: Duration::from_secs(7 * DAY + 600),
        }
    );
}

#[test]
fn every_kind_of_window_has_a_name() {
    let plan = one_view(
        "
  - name: n
    aggregate: count
    windows:
      - 1h 30m
      - last 100
      - 1 day @ Asia/Seoul
      - 2 weeks @ UTC
      - 1d @ Etc/GMT+9
      - { size: 1h, hop: 1m }
      - { tumbling: 15m }
      - { tumbling: 15m, part: current, delay: 1h }
      - { tumbling: 1 month, part: last }
      - { tumbling: 1 day @ America/Port-au-Prince, part: last, delay: 1d }
      - { session: 30m, max_length: 4h }
      - { last: 5, delay: 10s }
      - { tumbling: 1 quarter @ Europe/Berlin, as: this_quarter }
",
        "row_max: none",
    );
    let spec = &plan.views[0].spec;
    let found: Vec<(String, String)> = spec
        .outputs
        .iter()
        .map(|output| (output.name.clone(), output.window.to_string()))
        .collect();
    let expected = [
        ("n_1h30m", "1h30m"),
        ("n_last_100", "last 100"),
        ("n_tumbling_1day_asia_seoul", "tumbling 1 day @ Asia/Seoul"),
        ("n_tumbling_2week", "tumbling 2 week @ UTC"),
        (
            "n_tumbling_1day_etc_gmt_plus_9",
            "tumbling 1 day @ Etc/GMT+9",
        ),
        ("n_1h_hop_1m", "1h hop 1m"),
        ("n_tumbling_15m", "tumbling 15m"),
        ("n_tumbling_15m_delay_1h", "tumbling 15m delay 1h"),
        ("n_tumbling_1month_last", "last complete 1 month @ UTC"),
        (
            "n_tumbling_1day_america_port_au_prince_last_delay_1d",
            "last complete 1 day @ America/Port-au-Prince delay 1d",
        ),
        ("n_session_30m", "session 30m up to 4h"),
        ("n_last_5_delay_10s", "last 5 delay 10s"),
        ("this_quarter", "tumbling 1 quarter @ Europe/Berlin"),
    ];
    let expected = expected.map(|(name, window)| (name.to_owned(), window.to_owned()));
    assert_eq!(found, expected);
    let quarter = Duration::from_secs(92 * DAY + 3 * 3600);
    assert!(matches!(spec.kept, Kept::Span { reach, .. } if reach == quarter));
    let all = (0..expected.len()).collect();
    assert_eq!(plan.views[0].features, [("n".to_owned(), all)]);
}

#[test]
fn a_session_without_an_end_needs_all_of_history() {
    let session = "  - { name: n, aggregate: count, windows: [{ session: 30m }] }\n";
    let plan = one_view(session, "history: all\nrow_max: none");
    assert_eq!(plan.views[0].spec.outputs[0].name, "n_session_30m");
    assert_eq!(plan.views[0].spec.kept, Kept::All);
}

#[test]
fn rows_are_bounded_by_what_features_need() {
    let top = "  - { name: top, aggregate: top_n, of: place, n: 3, windows: [1h, 7d] }\n";
    let few = "  - { name: total, aggregate: sum, of: amount, windows: [1h, 7d] }\n";
    let bound = |features: &str, view: &str| one_view(features, view).views[0].row_max;
    assert_eq!(bound(few, ""), 64 << 10);
    let more = bound(&format!("{few}{top}"), "");
    assert!((64 << 10..1 << 20).contains(&more), "{more}");
    assert_eq!(bound(few, "row_max: 32KiB"), 32 << 10);
    assert_eq!(bound(few, "row_max: none"), usize::MAX);
}

fn fingerprint(features: &str, view: &str) -> u64 {
    one_view(features, view).views[0].spec.fingerprint
}

#[test]
fn the_fingerprint_is_the_meaning_of_rows_and_nothing_else() {
    let count = "  - { name: a, aggregate: count, windows: [7d] }\n";
    let sum = "  - { name: s, aggregate: sum, of: amount, windows: [7d] }\n";
    let both = fingerprint(&format!("{count}{sum}"), "");
    for (same, features) in [
        ("order", format!("{sum}{count}")),
        (
            "a name",
            format!("{count}{}", sum.replace("name: s", "name: t")),
        ),
        (
            "a shorter window",
            format!("{count}{}", sum.replace("[7d]", "[7d, 1d]")),
        ),
        (
            "a second aggregate",
            format!(
                "{count}{sum}{}",
                sum.replace("sum", "avg").replace("name: s", "name: t")
            ),
        ),
        (
            "spelling",
            format!("{count}{}", sum.replace("of: amount", "of: ' (AMOUNT) '")),
        ),
    ] {
        assert_eq!(fingerprint(&features, ""), both, "{same}");
    }
    for (different, features, view) in [
        (
            "an input",
            format!("{count}{}", sum.replace("amount", "price")),
            "",
        ),
        (
            "a longer window",
            format!("{count}{}", sum.replace("[7d]", "[8d]")),
            "",
        ),
        ("a condition", format!("{count}{sum}"), "where: online"),
        ("history", format!("{count}{sum}"), "history: all"),
        (
            "a filter",
            format!("{count}{}", sum.replace("of:", "where: online, of:")),
            "",
        ),
        (
            "a lifetime",
            format!("{count}{}", sum.replace("[7d]", "[7d, lifetime]")),
            "",
        ),
        (
            "the last events",
            format!("{count}{}", sum.replace("[7d]", "[7d, last 5]")),
            "",
        ),
        (
            "more of the last events",
            format!("{count}{}", sum.replace("[7d]", "[7d, last 6]")),
            "",
        ),
    ] {
        assert_ne!(fingerprint(&features, view), both, "{different}");
    }
}

#[test]
fn fingerprints_are_part_of_the_format() {
    let Loaded { plan, .. } = example();
    let found: Vec<(u32, u64)> = plan
        .views
        .iter()
        .map(|view| (view.id.0, view.spec.fingerprint))
        .collect();
    assert_eq!(
        found,
        [
            (3_736_486_938, 9_252_170_436_109_451_699),
            (2_361_591_788, 14_761_988_129_023_999_847),
        ]
    );
}

#[test]
fn variables_are_filled_in() {
    let text = include_str!("base.yaml").replace(
        "project: shop",
        "project: ${NAME}\nstate: { lanes: \"${LANES:-4}\", path: \"$${kept}/${DIR:-x}\" }",
    );
    let file = SourceFile {
        path: "base.yaml".to_owned(),
        text,
    };
    let env = |name: &str| (name == "NAME").then(|| "filled".to_owned());
    let (loaded, found) = load(&[file], &env);
    assert_eq!(render_text(&found, false), "");
    let project = loaded.expect("good").plan.project;
    assert_eq!((project.name.as_str(), project.lanes), ("filled", 4));
    assert_eq!(project.state_path, "${kept}/x");
}

#[test]
fn a_view_has_at_most_64_filters() {
    let features = |n: usize| -> String {
        (0..n)
            .map(|i| format!("  - {{ name: f{i}, aggregate: count, where: \"amount > {i}\", windows: [1d] }}\n"))
            .collect()
    };
    assert_eq!(one_view(&features(64), "").views[0].spec.filters, 64);
    let base = include_str!("base.yaml").replace(
        "  - { name: tx_count",
        &format!("{}  - {{ name: tx_count", features(65)),
    );
    let (loaded, found) = load(
        &[SourceFile {
            path: "base.yaml".to_owned(),
            text: base,
        }],
        &|_| None,
    );
    assert!(loaded.is_none());
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "more than 64 different `where` in one view"
    );
    assert!(
        found[0].source_line.contains("f64"),
        "{}",
        found[0].source_line
    );
}

#[test]
fn protection_is_taken_and_shows_no_secret() {
    let digits = "ab".repeat(32);
    let serving = format!(
        "serving:\n  grpc: '0.0.0.0:6565'\n  tls: {{ cert: a.pem, key: a.key }}\n  auth:\n    \
         jwt: {{ jwks: k.json, issuer: me, audience: us }}\n    callers:\n      \
         - {{ name: scoring, tokens: ['sha256:{digits}'], subjects: [model], views: ['*'], push: [payments] }}\n\
         online: {{ redis: {{ url: 'rediss://:hidden@r:6379', ca: r.pem }} }}"
    );
    let text =
        include_str!("base.yaml").replace("project: shop", &format!("project: shop\n{serving}"));
    let file = SourceFile {
        path: "base.yaml".to_owned(),
        text,
    };
    let project = load_good(&[file]).plan.project;
    assert_eq!(project.redis_ca.as_deref(), Some("r.pem"));
    let shown = format!("{project:?}");
    assert!(!shown.contains("hidden"), "{shown}");
    let auth = project.auth.expect("who may ask");
    assert_eq!(auth.jwt.expect("an issuer").audience, "us");
    let caller = &auth.callers[0];
    assert_eq!(caller.tokens, [[0xab; 32]]);
    assert!(caller.rights.views.has("anything") && !caller.rights.services.has("anything"));
    assert!(caller.rights.push.has("payments") && !caller.rights.push.has("others"));
    assert!(!caller.rights.admin);
}

/// Browsers open no page at the ports of some other protocols ("bad port" in the Fetch standard).
#[test]
fn browsers_open_the_default_door() {
    let file = SourceFile {
        path: "base.yaml".to_owned(),
        text: include_str!("base.yaml").to_owned(),
    };
    let http = load_good(&[file]).plan.project.http.clone();
    let port: u16 = http
        .rsplit_once(':')
        .expect("a port")
        .1
        .parse()
        .expect("a number");
    let bad = [6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10_080];
    assert!(port > 6000 && !bad.contains(&port), "{http}");
}

#[test]
fn kafka_and_network_settings_are_taken() {
    let text = include_str!("base.yaml")
        .replace(
            "project: shop",
            "project: shop\nkafka: { brokers: 'a:9092' }\nonline: { redis: { url: 'redis://r:6379,s:6379', allow_eviction: true }, near_cache: { max_age: 500ms, max_bytes: 1MiB } }\nserving: { grpc: '0.0.0.0:6565', feast: 'localhost:6567', allow_unprotected_network: true }",
        )
        .replace(
            "name: payments",
            "name: payments\nstream: { kafka: { topic: payments }, format: json }\nmax_ahead: none\ncomplete_since: beginning",
        );
    let file = SourceFile {
        path: "base.yaml".to_owned(),
        text,
    };
    let plan = load_good(&[file]).plan;
    assert_eq!(plan.project.kafka_brokers.as_deref(), Some("a:9092"));
    let url = plan.project.redis_url.as_ref().map(|url| url.0.as_str());
    assert_eq!(url, Some("redis://r:6379,s:6379"));
    assert!(plan.project.redis_allow_eviction);
    let near = plan.project.near_cache.expect("a near-cache");
    assert_eq!(
        (near.max_age, near.max_bytes),
        (Duration::from_millis(500), 1 << 20)
    );
    assert_eq!(plan.project.grpc, "0.0.0.0:6565");
    assert_eq!(plan.project.feast.as_deref(), Some("127.0.0.1:6567"));
    // Without a word about it the console is where only this machine looks.
    assert!(plan.project.has_console("127.0.0.1:6568"));
    assert!(!plan.project.has_console(&plan.project.grpc));
    assert_eq!(
        plan.sources[0].stream,
        tiderace_plan::model::Stream::Kafka {
            topic: "payments".to_owned(),
            dead_letters: "payments.dead-letters".to_owned(),
            headers: vec![],
        }
    );
    assert_eq!(plan.sources[0].max_ahead, None);
}

const VERSIONS: &str = r#"
project: shop
---
{ kind: entity, name: customer, keys: { customer: int64 } }
---
kind: source
name: payments
columns: { at: timestamp, customer: int64, amount: float64 }
event_time: at
---
kind: feature_view
name: spend
entity: customer
source: payments
features: [{ name: sum, aggregate: sum, of: amount, windows: [1d] }]
---
kind: feature_view
name: spend@v2
entity: customer
source: payments
where: "amount > 1"
features: [{ name: sum, aggregate: sum, of: amount, windows: [1d] }]
---
kind: feature_service
name: both
features: ["spend:sum", "spend@v2:sum_1d"]
on_demand:
  - { name: part, expr: "spend@v2__sum_1d / nullif(spend__sum_1d, 0)" }
"#;

#[test]
fn versions_of_a_view_live_side_by_side() {
    let file = |text: &str| SourceFile {
        path: "shop.yaml".to_owned(),
        text: text.to_owned(),
    };
    let plan = load_good(&[file(VERSIONS)]).plan;
    let names: Vec<&str> = plan.views.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(names, ["spend", "spend@v2"]);
    assert_ne!(plan.views[0].id, plan.views[1].id);
    assert_eq!(plan.services[0].on_demand.len(), 1);

    // What a service reads is not retired.
    let (before, rest) = VERSIONS
        .split_once("---\nkind: feature_view\nname: spend\n")
        .expect("a view");
    let (_, after) = rest.split_once("---\n").expect("another");
    let retired = format!("{before}---\n{after}");
    let (loaded, found) = load(&[file(&retired)], &|_| None);
    assert!(loaded.is_none());
    let said = render_text(&found, false);
    assert!(said.contains("unknown feature view `spend`"), "{said}");
    assert!(
        said.contains("of it there is `spend@v2`: move over to that, or keep `spend`"),
        "{said}"
    );

    for wrong in [
        "spend@2",
        "spend@v0",
        "spend@v02",
        "@v2",
        "spend@",
        "Spend@v2",
        "spend@v2@v3",
    ] {
        let text = VERSIONS.replace("name: spend@v2", &format!("name: \"{wrong}\""));
        let (loaded, found) = load(&[file(&text)], &|_| None);
        assert!(loaded.is_none(), "{wrong}");
        let said = render_text(&found, false);
        assert!(
            said.contains("cannot be the name of a feature view"),
            "{wrong}: {said}"
        );
    }
    let text = VERSIONS.replace("name: payments", "name: payments@v2");
    assert!(load(&[file(&text)], &|_| None).0.is_none());
}

#[test]
fn settings_and_definitions_may_come_from_different_files() {
    let file = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let (_, definitions) = VERSIONS.split_once("---\n").expect("settings first");
    let applied = file("shop.yaml", VERSIONS);
    let other = file(
        "tiderace.yaml",
        "project: store\nstate: { path: there }\n---\nkind: source\nname: broken\n",
    );
    assert!(tiderace_plan::defines(&applied));
    assert!(!tiderace_plan::defines(&file(
        "tiderace.yaml",
        "project: store\n"
    )));
    let of_both = |files: &[SourceFile]| {
        let settings = std::slice::from_ref(&other);
        let (loaded, found) = tiderace_plan::load_with_settings(files, settings, &|_| None);
        assert_eq!(render_text(&found, false), "");
        loaded.expect("a plan").plan
    };
    let plan = of_both(&[applied]);
    assert_eq!(plan.project.name, "store");
    assert_eq!((plan.sources.len(), plan.views.len()), (1, 2));
    let without = of_both(&[file("shop.yaml", definitions)]);
    assert_eq!(without.views.len(), 2);
    let (project, found) = tiderace_plan::load_settings(std::slice::from_ref(&other), &|_| None);
    assert_eq!(render_text(&found, false), "");
    assert_eq!(project.expect("settings").state_path, "there");
}

#[test]
fn limits_and_sentinels_are_taken() {
    let text = include_str!("base.yaml").replace(
        "project: shop",
        "project: shop
online:
  redis:
    url: redis://s:26379
    password: of-redis
    sentinel: { master: features, user: me, password_file: secret }
serving:
  limits: { calls: 7, message: 1MiB, connection_age: 1h, unread: 8MiB }",
    );
    let file = SourceFile {
        path: "base.yaml".to_owned(),
        text,
    };
    let plan = load_good(&[file]).plan;
    let expect = Limits {
        calls: 7,
        message: 1 << 20,
        connection_age: Duration::from_secs(3_600),
        unread: 8 << 20,
        ..Limits::default()
    };
    assert_eq!(plan.project.limits, expect);
    let sentinel = plan.project.redis_sentinel.as_ref().expect("a sentinel");
    assert_eq!(sentinel.master, "features");
    let login = sentinel.login.as_ref().expect("a login");
    assert_eq!(login.user.as_deref(), Some("me"));
    assert_eq!(login.password, Password::File("secret".to_owned()));
    let own = plan.project.redis_login.as_ref().expect("a login");
    assert_eq!(own.user, None);
}
