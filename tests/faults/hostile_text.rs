//! Hostile text wherever a service can name something, in every output.
//!
//! The places are not listed by hand: a first plan notes every string and every
//! key that the services answer, and each of them then is hostile once.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use serde_json::Value;
use stargate::diagnostics::service_text::is_unsafe;
use stargate::plan::Plan;
use stargate::provider::http::Api;
use stargate::render::graph::ResourceGraph;
use stargate::render::{Purpose, Style, plan_json, plan_markdown, plan_text};

use crate::deployment::{Deployment, EXAMPLE};

/// Appended to a text: sequences that terminals, logs, markdown, pictures and continuous
/// integration systems interpret.
const PAYLOAD: &str = "\u{1b}[31m\u{1b}]0;t\u{7}\r\n::error::x\n```\n</details>\u{9b}2J\u{202e}\u{2028}\u{200b}\
    @org/team ![i](https://e.test/i) [l](https://e.test/l) <img src=x> ##[error]y |`` \"'\\";

/// A place in the answers of a service, with `*` for any entry of a list.
type Location = (Api, String);

#[derive(Default)]
struct Locations(BTreeSet<Location>);

/// Calls `visit` with the path of every string, and of every key as `path{}`.
fn visit_strings(value: &mut Value, path: &str, visit: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => visit(path, text),
        Value::Array(items) => {
            items.iter_mut().for_each(|item| visit_strings(item, &format!("{path}/*"), visit));
        }
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (mut key, mut field) in old {
                visit_strings(&mut field, &format!("{path}/{}", general(&key)), visit);
                visit(&format!("{path}{{}}"), &mut key);
                fields.insert(key, field);
            }
        }
        _ => {}
    }
}

/// Keys that are names, as in labels and managed fields, are all alike.
fn general(key: &str) -> &str {
    if key.contains(['/', '.', ':']) { "?" } else { key }
}

fn rewritten(
    response: Response<Bytes>,
    visit: &mut dyn FnMut(&str, &mut String),
) -> Response<Bytes> {
    let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else { return response };
    visit_strings(&mut body, "", visit);
    response.map(|_| Bytes::from(body.to_string()))
}

async fn positions() -> BTreeSet<Location> {
    let (sandbox, now) = Deployment::applied().await;
    let deployment = Deployment::at(sandbox, EXAMPLE, now);
    let found = Arc::new(Mutex::new(Locations::default()));
    let noted = Arc::clone(&found);
    deployment.proxy.rewrite(move |api, response| {
        rewritten(response, &mut |path, _| {
            noted.lock().unwrap().0.insert((api, path.to_owned()));
        })
    });
    deployment.plan(false).await;
    deployment.plan(true).await;
    std::mem::take(&mut found.lock().unwrap().0)
}

#[tokio::test(start_paused = true)]
async fn hostile_text_is_escaped_in_every_place_and_format() {
    let log = Log::default();
    let _guard = log.listen();
    let positions = positions().await;
    assert!(positions.len() > 300, "{}", positions.len());
    let (sandbox, now) = Deployment::applied().await;
    let every = if crate::everything() { 1 } else { 9 };
    let (mut wrong, mut outputs) = (Vec::new(), 0);
    for place in positions.into_iter().step_by(every) {
        let deployment = Deployment::at(sandbox.clone(), EXAMPLE, now);
        let at = place.clone();
        deployment.proxy.rewrite(move |api, response| {
            if api != at.0 {
                return response;
            }
            rewritten(response, &mut |path, text| {
                if path == at.1 {
                    text.push_str(PAYLOAD);
                }
            })
        });
        for destroying in [false, true] {
            let plan = deployment.plan(destroying).await.plan;
            for (format, problem) in problems(&plan) {
                wrong.push(format!("{} {}: {format}: {problem}", place.0, place.1));
            }
            outputs += 7;
        }
        if let Some(problem) = log.take_problem() {
            wrong.push(format!("{} {}: log: {problem}", place.0, place.1));
        }
    }
    assert!(outputs > 400, "{outputs}");
    wrong.truncate(40);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A refusal's own words, as JSON and as text, with every status.
#[tokio::test(start_paused = true)]
async fn hostile_text_is_escaped_in_refusals() {
    let (sandbox, now) = Deployment::applied().await;
    for api in Api::ALL {
        for status in [200_u16, 400, 401, 403, 409, 500] {
            let inner = serde_json::json!({ "code": PAYLOAD, "message": PAYLOAD, "reason": PAYLOAD,
                "kind": "Status", "status": "Failure",
                "details": [{ "code": PAYLOAD, "message": PAYLOAD }] });
            let outer = serde_json::json!({ "error": inner });
            for body in [inner.to_string(), outer.to_string(), PAYLOAD.to_owned()] {
                let deployment = Deployment::at(sandbox.clone(), EXAMPLE, now);
                deployment.proxy.rewrite(move |from, response| {
                    if from != api {
                        return response;
                    }
                    Response::builder().status(status).body(Bytes::from(body.clone())).unwrap()
                });
                let plan = deployment.plan(false).await.plan;
                let gap =
                    plan.gaps.first().map(|gap| gap.failure.message.clone()).unwrap_or_default();
                let found = problems(&plan);
                assert!(found.is_empty(), "{api} {status}: {gap}: {found:?}");
            }
        }
    }
}

/// Violations in a plan's outputs.
fn problems(plan: &Plan) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut check = |format, problem: Option<String>| {
        found.extend(problem.map(|problem| (format, problem)));
    };
    for full in [false, true] {
        let options =
            plan_text::Options { style: Style::Plain, purpose: Purpose::Plan, full, verbose: true };
        check("text", unsafe_text(&plan_text::render(plan, options)));
    }
    let json = plan_json::render(plan, Purpose::Plan);
    check("json", unsafe_json(&json));
    let markdown = plan_markdown::render(plan, Purpose::Plan, "Target: a test");
    check("markdown", unsafe_text(&markdown).or_else(|| unsafe_markdown(&markdown)));
    let deferred = plan.deferred.iter().map(|one| (one.address.clone(), Some(one.action)));
    let blocked = plan.blocked.iter().map(|one| (one.address.clone(), Some(one.action)));
    let changes = plan.changes.iter().map(|one| (one.address.clone(), Some(one.action)));
    let nodes = changes.chain(deferred).chain(blocked).collect();
    let graph = ResourceGraph { nodes, edges: Vec::new() };
    check("dot", unsafe_text(&graph.to_dot()).or_else(|| unquoted(&graph.to_dot())));
    check("mermaid", unsafe_text(&graph.to_mermaid()).or_else(|| tag(&graph.to_mermaid())));
    check("svg", unsafe_text(&graph.to_svg()).or_else(|| tag(&graph.to_svg())));
    found
}

fn unsafe_text(text: &str) -> Option<String> {
    for line in text.lines() {
        let bad = line.chars().any(is_unsafe)
            || line.trim_start().starts_with("::")
            || line.contains("##[")
            || line.contains("::error::");
        if bad {
            return Some(format!("{line:?}"));
        }
    }
    None
}

fn unsafe_json(text: &str) -> Option<String> {
    let mut value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Some(error.to_string()),
    };
    let mut found = None;
    visit_strings(&mut value, "", &mut |path, text| {
        if text.chars().any(|it| is_unsafe(it) && it != '\n') {
            found = Some(format!("{path} {text:?}"));
        }
    });
    found
}

/// Outside of blocks and spans of code, nothing is a mention, a link, an image
/// or a tag; and every block ends where it should.
fn unsafe_markdown(text: &str) -> Option<String> {
    let mut fence: Option<usize> = None;
    let mut open = 0_i32;
    for line in text.lines() {
        let ticks = line.chars().take_while(|it| *it == '`').count();
        match fence {
            Some(length) if ticks >= length && line.trim_matches('`').is_empty() => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                open += i32::from(line.starts_with("<details>"));
                open -= i32::from(line.starts_with("</details>"));
                if let Some(problem) = markup(line) {
                    return Some(problem);
                }
            }
        }
    }
    (fence.is_some() || open != 0).then(|| "a block is not closed".to_owned())
}

fn markup(line: &str) -> Option<String> {
    let mut outside = String::new();
    let mut rest = line;
    // Spans of code are cut out, by the rule of CommonMark: a run of backticks
    // is closed by the next run of the same length.
    while let Some(at) = rest.find('`') {
        outside.push_str(&rest[..at]);
        let run = rest[at..].chars().take_while(|it| *it == '`').count();
        rest = &rest[at + run..];
        match closing(rest, run) {
            Some(end) => rest = &rest[end + run..],
            None => outside.push_str(&"`".repeat(run)),
        }
    }
    outside.push_str(rest);
    let outside = outside.replace("\\]", "");
    let bad = ["@org", "](", "<img", "https://e.test", "</details>```"];
    bad.iter().find(|bad| outside.contains(*bad)).map(|bad| format!("{bad} in {outside}"))
}

fn closing(text: &str, run: usize) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = text[at..].find('`') {
        let start = at + found;
        let length = text[start..].chars().take_while(|it| *it == '`').count();
        if length == run {
            return Some(start);
        }
        at = start + length;
    }
    None
}

fn tag(text: &str) -> Option<String> {
    text.contains("<img").then(|| "a tag".to_owned())
}

/// Every line of a drawing in Graphviz's language has its quotes in pairs.
fn unquoted(text: &str) -> Option<String> {
    let odd = |line: &&str| {
        let plain = line.replace("\\\\", "").replace("\\\"", "");
        plain.matches('"').count() % 2 == 1
    };
    text.lines().find(odd).map(str::to_owned)
}

/// The log, as it is written.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn take_problem(&self) -> Option<String> {
        let written = std::mem::take(&mut *self.0.lock().unwrap());
        let text = String::from_utf8_lossy(&written).into_owned();
        let ours = text.lines().filter(|line| line.contains(" stargate::"));
        let ours = ours.collect::<Vec<_>>().join("\n");
        // Lines of the log begin with the time: a line that does not is forged.
        let forged = text.lines().find(|line| !line.starts_with("20") && line.contains("error::x"));
        unsafe_text(&ours).or_else(|| forged.map(str::to_owned))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The checks detect the problems that they exist for.
#[test]
fn the_checks_detect_planted_text() {
    assert!(unsafe_text("a\u{9b}").is_some());
    assert!(unsafe_text("a\n ::error::b").is_some());
    assert!(unsafe_markdown("hello @org/team").is_some());
    assert!(unsafe_markdown("`@org/team`").is_none());
    assert!(unsafe_markdown("````diff\n```\n@org\n````\n").is_none());
    assert!(unsafe_markdown("```diff\n```\n@org\n").is_some());
    assert!(unquoted("a [label=\"b\"c\"];").is_some());
    let counts: BTreeMap<&str, usize> = BTreeMap::from([("a", 1)]);
    assert!(unsafe_json(&serde_json::json!(counts).to_string()).is_none());
}
