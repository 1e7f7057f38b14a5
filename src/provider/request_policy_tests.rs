use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use serde_json::json;

use super::*;
use crate::provider::http::Transport;
use crate::provider::http_client::{ApiCall, HttpClient};
use crate::provider::scripted::{Scripted, ScriptedStep};

fn client(steps: Vec<ScriptedStep>) -> (HttpClient, Arc<Scripted>) {
    let transport = Arc::new(Scripted::new(steps));
    let limits = Limits::published();
    let seam: Arc<dyn Transport> = Arc::<Scripted>::clone(&transport);
    let (count, settings) = (RequestCount::default(), ClientSettings::default());
    let policy = RequestPolicy::new(Api::Azure, limits, count, settings);
    (HttpClient::new(seam, policy), transport)
}

fn call(method: Method) -> ApiCall {
    ApiCall::new(method, "http://arm.test/x", "touch x")
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_to_the_second() {
    let (client, script) = client(vec![
        ScriptedStep::new("PUT", "/x").respond(429, json!({})).header("retry-after", "23"),
        ScriptedStep::new("PUT", "/x").respond(200, json!({})),
    ]);
    let start = Instant::now();
    let response = client.send(&call(Method::PUT)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(start.elapsed().as_secs(), 23);
    assert_eq!(client.policy().0.count.by_api()[&Api::Azure], 2);
    script.assert_finished();
}

/// The clock of this machine does not count where the service shows its own.
#[tokio::test(start_paused = true)]
async fn retry_after_as_a_date_is_obeyed_by_the_clock_of_the_service() {
    let (client, script) = client(vec![
        ScriptedStep::new("PUT", "/x")
            .respond(503, json!({}))
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("retry-after", "Sun, 06 Nov 1994 08:51:00 GMT"),
        ScriptedStep::new("PUT", "/x").respond(200, json!({})),
    ]);
    let start = Instant::now();
    let response = client.send(&call(Method::PUT)).await.unwrap();
    assert_eq!((response.status(), start.elapsed().as_secs()), (StatusCode::OK, 83));
    script.assert_finished();
}

#[test]
fn retry_after_has_two_forms() {
    let parse = |retry: &str, date: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, retry.parse().unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, date.parse().unwrap());
        }
        retry_after(&headers)
    };
    let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(parse("17", date), Some(Duration::from_secs(17)));
    assert_eq!(parse("0", None), Some(MIN_DELAY));
    assert_eq!(parse("Sun, 06 Nov 1994 08:50:00 GMT", date), Some(Duration::from_secs(23)));
    // The time has come already.
    assert_eq!(parse("Sun, 06 Nov 1994 08:49:00 GMT", date), Some(MIN_DELAY));
    assert_eq!(parse("Sun, 06 Nov 1994 08:50:00 GMT", None), Some(MIN_DELAY));
    let soon = Timestamp::now() + Duration::from_secs(60);
    let soon = soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let without_date = parse(&soon, None).unwrap();
    assert!((50..=60).contains(&without_date.as_secs()), "{without_date:?}");
    // A clock that cannot be read is no clock.
    assert!(parse(&soon, Some("noon")).unwrap().as_secs() >= 50);
    for text in ["soon", "-1", "1.5", ""] {
        assert_eq!(parse(text, date), None, "{text}");
    }
}

/// A date is bounded as seconds are: a service that is closed is not waited for.
#[tokio::test(start_paused = true)]
async fn a_date_that_is_far_away_is_not_waited_for() {
    let (client, script) = client(vec![
        ScriptedStep::new("PUT", "/x")
            .respond(503, json!({}))
            .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("retry-after", "Mon, 07 Nov 1994 08:49:37 GMT"),
    ]);
    let response = client.send(&call(Method::PUT)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_delay_in_words_is_obeyed() {
    let body = json!({"error": {"code": "RetryableError", "message": "…", "details": [
        {"code": "x", "message": "The call can be retried in 14 seconds."}]}});
    let (client, _) = client(vec![
        ScriptedStep::new("PUT", "/x").respond(429, body),
        ScriptedStep::new("PUT", "/x").respond(200, json!({})),
    ]);
    let start = Instant::now();
    client.send(&call(Method::PUT)).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 14);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_is_tried_again_where_that_is_safe() {
    let dropped = || ScriptedStep::new("*", "/x").dropped();
    let (client, _) =
        client(vec![dropped(), ScriptedStep::new("PUT", "/x").respond(200, json!({})), dropped()]);
    assert!(client.send(&call(Method::PUT)).await.is_ok());
    let error = client.send(&call(Method::POST)).await.unwrap_err();
    assert!(error.is_unavailable());
}

#[tokio::test(start_paused = true)]
async fn only_another_operation_makes_a_conflict_worth_a_retry() {
    let code = |code: &str| json!({"error": {"code": code, "message": "…"}});
    let (client, script) = client(vec![
        ScriptedStep::new("PUT", "/x").respond(409, code("AnotherOperationInProgress")),
        ScriptedStep::new("PUT", "/x").respond(409, code("ResourceGroupBeingDeleted")),
    ]);
    let response = client.send(&call(Method::PUT)).await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn retries_end() {
    let down = || ScriptedStep::new("GET", "/x").respond(503, json!({}));
    let (client, script) = client((0..6).map(|_| down()).collect());
    let response = client.send(&call(Method::GET)).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn idempotent_writes_are_sent_again_after_a_server_error_and_posts_are_not() {
    for status in [500, 502, 503, 504] {
        for method in [Method::PUT, Method::DELETE, Method::GET] {
            let (client, script) = client(vec![
                ScriptedStep::new("*", "/x").respond(status, json!({})),
                ScriptedStep::new("*", "/x").respond(200, json!({})),
            ]);
            let response = client.send(&call(method)).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{status}");
            script.assert_finished();
        }
        let (client, script) =
            client(vec![ScriptedStep::new("POST", "/x").respond(status, json!({}))]);
        let response = client.send(&call(Method::POST)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        script.assert_finished();
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_answers_costs_a_call_less_than_a_minute() {
    let policy = RequestPolicy::new(
        Api::Azure,
        Limits::published(),
        RequestCount::default(),
        ClientSettings::default(),
    );
    for method in [Method::GET, Method::PUT, Method::POST] {
        let start = Instant::now();
        let retry = RetryClass::of(&method);
        let kind = RequestKind { method: &method, retry, host: "h", activity: "x" };
        let outcome = policy.run(kind, &AtomicU32::new(0), std::future::pending).await;
        assert!(matches!(outcome.unwrap_err().fault, TransportFault::TimedOut { .. }));
        assert!(start.elapsed() <= Duration::from_secs(55), "{method} {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_large_is_not_asked_for_again() {
    let policy = RequestPolicy::new(
        Api::Azure,
        Limits::unlimited(),
        RequestCount::default(),
        ClientSettings { max_decoded_bytes: 1_000, ..ClientSettings::default() },
    );
    let kind =
        RequestKind { method: &Method::GET, retry: RetryClass::Read, host: "h", activity: "x" };
    let attempts = AtomicU32::new(0);
    let body = Bytes::from("[{},{},{}]");
    let outcome =
        policy.run(kind, &attempts, || std::future::ready(Ok(http::Response::new(body.clone()))));
    assert!(matches!(outcome.await.unwrap_err().fault, TransportFault::TooLarge { .. }));
    assert_eq!(attempts.into_inner(), 1);
}

#[test]
fn a_status_of_an_api_server_says_how_long_to_wait() {
    let body = json!({ "kind": "Status", "details": { "retryAfterSeconds": 7 } }).to_string();
    assert_eq!(delay_in_body(body.as_bytes()), Some(Duration::from_secs(7)));
    assert_eq!(delay_in_body(b"{}"), None);
}
