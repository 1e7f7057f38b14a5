use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex as SyncMutex;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::provider::http::{Api, RequestCount};
use crate::provider::limits::{CallClass, Limits, Rate};
use crate::provider::settings::ClientSettings;

type Answers = Arc<SyncMutex<VecDeque<Response<&'static str>>>>;

/// A client whose server gives these responses, then 200.
fn client(responses: Vec<Response<&'static str>>, limits: Limits) -> (kube::Client, Answers) {
    let responses: Answers = Arc::new(SyncMutex::new(responses.into()));
    let left = Arc::clone(&responses);
    let service = tower::service_fn(move |_: Request<Body>| {
        let response = left.lock().unwrap().pop_front().unwrap_or_else(|| Response::new("{}"));
        std::future::ready(Ok::<_, Infallible>(
            response.map(|text| Full::new(Bytes::from_static(text.as_bytes()))),
        ))
    });
    let settings = ClientSettings::default();
    let policy = RequestPolicy::new(Api::Kubernetes, limits, RequestCount::default(), settings);
    let builder = kube::client::ClientBuilder::new(service, "default");
    (builder.with_layer(&RequestLayer::new(policy)).build(), responses)
}

fn status(code: u16) -> Response<&'static str> {
    Response::builder().status(code).body("{}").unwrap()
}

async fn send(client: &kube::Client, method: Method, kind: &str) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri("/api/v1/nodes/x")
        .header(header::CONTENT_TYPE, kind)
        .body(Body::empty());
    client.send(request.unwrap()).await.unwrap().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed_by_all_requests() {
    let mut limits = Limits::unlimited();
    limits.set(Api::Kubernetes, &CallClass::ALL, Rate { burst: 10.0, per_second: 10.0 });
    let mut busy = status(429);
    busy.headers_mut().insert(header::RETRY_AFTER, 17.into());
    let (client, _) = client(vec![busy], limits);
    let start = Instant::now();
    let first = send(&client, Method::GET, "");
    let second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        send(&client, Method::GET, "").await
    };
    assert_eq!(futures::future::join(first, second).await, (200, 200));
    assert_eq!(start.elapsed().as_secs(), 17);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_their_budget() {
    let mut limits = Limits::unlimited();
    limits.set(Api::Kubernetes, &CallClass::ALL, Rate { burst: 5.0, per_second: 1.0 });
    let (client, _) = client(Vec::new(), limits);
    let start = Instant::now();
    for _ in 0..8 {
        send(&client, Method::GET, "").await;
    }
    assert_eq!(start.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn server_side_apply_is_sent_again_and_other_patches_and_posts_are_not() {
    for (method, kind, expected) in [
        (Method::PATCH, "application/apply-patch+yaml", 200),
        (Method::PUT, "application/json", 200),
        (Method::DELETE, "application/json", 200),
        (Method::PATCH, "application/json-patch+json", 502),
        (Method::POST, "application/json", 502),
    ] {
        let (client, responses) = client(vec![status(502)], Limits::unlimited());
        assert_eq!(send(&client, method, kind).await, expected, "{kind}");
        assert!(responses.lock().unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_apply_that_no_schema_takes_is_refused_at_once() {
    let body = r#"{"message": "failed to create typed patch object (a/b): .spec.c: no field"}"#;
    let response = Response::builder().status(500).body(body).unwrap();
    let (client, _) = client(vec![response], Limits::unlimited());
    let code = send(&client, Method::PATCH, "application/apply-patch+yaml").await;
    assert_eq!(code, 500);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_times_out_within_a_minute() {
    let service = tower::service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let settings = ClientSettings::default();
    let count = RequestCount::default();
    let policy = RequestPolicy::new(Api::Kubernetes, Limits::unlimited(), count, settings);
    let builder = kube::client::ClientBuilder::new(service, "default");
    let client = builder.with_layer(&RequestLayer::new(policy)).build();
    let start = Instant::now();
    let response = client.send(Request::get("/version").body(Body::empty()).unwrap()).await;
    let error = response.err().unwrap();
    assert!(start.elapsed() <= Duration::from_secs(60), "{:?}", start.elapsed());
    assert!(matches!(error, kube::Error::Service(_)), "{error}");
}
