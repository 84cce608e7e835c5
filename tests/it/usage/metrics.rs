//! `/metrics`: what it says, that a strict reader takes it, and who may read it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use http::Request;
use thon::admin::{AdminState, Facts, Live, control_router, public_admin_router};
use thon::api::{GatewayView, ModelView};
use thon::domain::model::ModelName;
use thon::domain::secret::Secret;

use super::{EVERYBODY, entry, get, now};
use crate::support::doors::{House, Page, call};
use crate::support::sources::{agree, between, section, text};

/// With a model whose name needs care.
const MODEL: &str = "odd \"name\" \\ with\nlines";

fn state(house: &House, token: Option<&str>) -> AdminState {
    let mut state = house.admin(None);
    let facts = Arc::get_mut(&mut state.facts).unwrap();
    facts.metrics_token = token.map(Secret::new);
    facts.live.gateway = Box::new(|| GatewayView {
        models: vec![ModelView {
            name: MODEL.to_owned(),
            slots_busy: 3,
            slots_total: 16,
            queued: 7,
            eta_ms: None,
        }],
        reserved_tokens: 4_096,
        jain_index: Some(0.5),
        ..GatewayView::default()
    });
    state
}

fn used(facts: &Facts) {
    facts.metrics.know([ModelName::new(MODEL)]);
    facts.metrics.ended(&entry("red/alice", MODEL, now()));
    facts.metrics.ended(&entry("red/alice", "stranger", now()));
    facts.metrics.estimated(150, 123);
    facts.metrics.rejected("user/60/*");
}

/// What a family is: its type, unit, and its samples by name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

/// Reads `OpenMetrics` text and refuses whatever the standard does not allow:
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
fn read(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with `# EOF`");
    let mut families = BTreeMap::<String, Family>::new();
    let mut open = String::new();
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let (word, rest) = meta.split_once(' ').unwrap();
            let (name, value) = rest.split_once(' ').unwrap();
            assert_name(name);
            if open != name {
                assert!(!families.contains_key(name), "{name} is there twice");
                name.clone_into(&mut open);
            }
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.samples.is_empty(), "{line}: after its samples");
            match word {
                "TYPE" => value.clone_into(&mut family.kind),
                "HELP" => value.clone_into(&mut family.help),
                "UNIT" => assert!(name.ends_with(&format!("_{value}")), "{line}"),
                _ => panic!("{line}"),
            }
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = families.get_mut(&open).unwrap();
        assert_suffix(&family.kind, name.strip_prefix(&open).expect(line), &labels);
        let before = family.samples.insert((name, labels), value);
        assert!(before.is_none(), "twice: {line}");
    }
    families
}

fn assert_name(name: &str) {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    assert!(name.starts_with(is_first), "{name}");
    assert!(
        name.chars().all(|c| is_first(c) || c.is_ascii_digit()),
        "{name}"
    );
}

fn assert_suffix(kind: &str, suffix: &str, labels: &BTreeMap<String, String>) {
    let is_right = match kind {
        "counter" => suffix == "_total",
        "gauge" => suffix.is_empty(),
        "info" => suffix == "_info",
        "histogram" => matches!(suffix, "_sum" | "_count" | "_bucket"),
        _ => panic!("{kind} is no type"),
    };
    assert!(is_right, "{kind}{suffix}");
    assert_eq!(labels.contains_key("le"), suffix == "_bucket");
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().expect(line);
    let Some((name, labels)) = head.split_once('{') else {
        assert_name(head);
        return (head.to_owned(), BTreeMap::new(), value);
    };
    assert_name(name);
    let mut rest = labels.strip_suffix('}').expect(line).chars();
    let mut labels = BTreeMap::new();
    while !rest.as_str().is_empty() {
        let (label, after) = rest.as_str().split_once("=\"").expect(line);
        assert_name(label);
        rest = after.chars();
        let before = labels.insert(label.to_owned(), quoted(&mut rest));
        assert!(before.is_none(), "{line}");
        assert!(matches!(rest.next(), None | Some(',')), "{line}");
    }
    (name.to_owned(), labels, value)
}

/// Up to the quote that ends it.
fn quoted(rest: &mut std::str::Chars<'_>) -> String {
    let mut value = String::new();
    loop {
        match rest.next().expect("a quote") {
            '"' => return value,
            '\\' => value.push(match rest.next().unwrap() {
                'n' => '\n',
                c @ ('"' | '\\') => c,
                c => panic!("\\{c}"),
            }),
            c => value.push(c),
        }
    }
}

/// Buckets grow up to `+Inf`, which is the count.
fn assert_histogram(name: &str, family: &Family) {
    let mut series = BTreeMap::<_, Vec<(f64, f64)>>::new();
    for ((sample, labels), value) in &family.samples {
        let mut labels = labels.clone();
        if let Some(le) = labels.remove("le") {
            assert!(sample.ends_with("_bucket"));
            let le: f64 = le.parse().unwrap();
            assert!(
                le > 0.0,
                "{name}: with a bucket below zero, a sum is not allowed"
            );
            series.entry(labels).or_default().push((le, *value));
        }
    }
    for (labels, mut buckets) in series {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{buckets:?}");
        let (le, all) = buckets[buckets.len() - 1];
        let count = family.samples[&(format!("{name}_count"), labels)];
        assert!(le.is_infinite() && (all - count).abs() < 0.5);
    }
}

#[tokio::test]
async fn a_strict_reader_takes_every_line() {
    let house = House::launched(&EVERYBODY).await;
    let state = state(&house, None);
    used(&state.facts);
    let page = get(&control_router(state), "/metrics").await;
    assert!(
        page.header("content-type")
            .starts_with("application/openmetrics-text; version=1.0.0")
    );
    let families = read(&page.text);
    for (name, family) in &families {
        assert!(!family.help.is_empty() && !family.kind.is_empty(), "{name}");
        assert!(!family.samples.is_empty(), "{name} says nothing");
        if family.kind == "histogram" {
            assert_histogram(name, family);
        }
    }
    let of = |name: &str, label: &str, value: &str| {
        let labels = BTreeMap::from([(label.to_owned(), value.to_owned())]);
        families[name].samples[&(name.to_owned(), labels)]
    };
    assert!((of("llm_slots_busy", "gen_ai_request_model", MODEL) - 3.0).abs() < 0.1);
    assert!((of("llm_queue_depth", "gen_ai_request_model", MODEL) - 7.0).abs() < 0.1);
    assert!((of("thon_instances", "phase", "ready") - 3.0).abs() < 0.1);
    assert!(!page.text.contains("alice"), "nobody is named");
}

#[tokio::test]
async fn every_metric_is_in_the_manual_and_no_other_one() {
    let house = House::launched(&EVERYBODY).await;
    let state = state(&house, None);
    used(&state.facts);
    let page = get(&control_router(state), "/metrics").await;
    let told: BTreeSet<String> = read(&page.text).into_keys().collect();
    let manual = text("docs/operating.md");
    let rows = section(&manual, "## Metrics").lines();
    let listed: BTreeSet<String> = rows
        .filter(|row| row.starts_with("| `"))
        .map(|row| {
            let name = between(row, '`')[0];
            let ending = match row.split('|').nth(2).unwrap().trim() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            name.strip_suffix(ending).unwrap().to_owned()
        })
        .collect();
    let only = "docs/operating.md, *Metrics*, has what is not told";
    agree(
        (&told, "not in docs/operating.md, *Metrics*"),
        (&listed, only),
    );
}

async fn scrape(state: AdminState, authorization: Option<&str>) -> Page {
    let mut request = Request::get("/metrics").header("host", "admin");
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    call(
        &public_admin_router(state),
        request.body(Body::empty()).unwrap(),
    )
    .await
}

#[tokio::test]
async fn the_network_reads_metrics_with_the_token_only() {
    let house = House::new(&EVERYBODY);
    let token = "a-scraper's-token";
    let right = format!("Bearer {token}");
    let page = scrape(state(&house, Some(token)), Some(&right)).await;
    assert_eq!(page.status, 200);
    assert!(page.text.ends_with("# EOF\n"));
    for wrong in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer a-scraper's-toke"),
        Some("Bearer a-scraper's-token2"),
        Some("Basic a-scraper's-token"),
        Some(token),
    ] {
        let page = scrape(state(&house, Some(token)), wrong).await;
        assert_eq!(page.status, 401, "{wrong:?}");
        assert_eq!(page.json()["error"]["code"], "unauthorized");
        assert!(page.header("www-authenticate").starts_with("Bearer"));
    }
    // Nothing else of the appliance is behind it.
    let router = public_admin_router(state(&house, Some(token)));
    let request = Request::get("/api/usage").header("authorization", &right);
    let page = call(&router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(page.status, 404);
    let nobody = scrape(state(&house, None), Some(&right)).await;
    assert_eq!(
        nobody.status, 404,
        "without a token there is nothing to find"
    );
}

#[test]
fn without_a_model_the_gateway_says_nothing() {
    let live = Live::default();
    assert_eq!((live.gateway)(), GatewayView::default());
    assert!((live.queue)().is_empty() && (live.balances)().is_empty());
}
