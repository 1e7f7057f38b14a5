//! The client against scripted answers, in the shapes that ARM was seen to use.

use serde_json::json;
use tokio::time::Instant;

use super::*;
use crate::diagnostics::{Code, Failure};
use crate::provider::credentials::StaticToken;
use crate::provider::scripted::{Scripted, ScriptedStep};
use crate::provider::secret::Secret;

const BASE: &str = "http://arm.test";
const TABLE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/t";

fn client(steps: Vec<ScriptedStep>) -> (ArmClient, Arc<Scripted>) {
    let script = Arc::new(Scripted::new(steps));
    let seam: Arc<dyn Transport> = Arc::<Scripted>::clone(&script);
    let tokens = Arc::new(StaticToken(Secret::new("marked-token")));
    let client = ArmClient::new(seam, BASE, tokens, Limits::published(), RequestCount::default());
    (client, script)
}

fn table() -> ArmId {
    ArmId::new(TABLE)
}

fn state(state: &str) -> Value {
    json!({"id": TABLE, "properties": {"provisioningState": state}})
}

fn put(status: u16) -> ScriptedStep {
    ScriptedStep::new("PUT", TABLE).respond(status, state("Updating"))
}

fn get(provisioning: &str) -> ScriptedStep {
    ScriptedStep::new("GET", TABLE).respond(200, state(provisioning))
}

#[tokio::test(start_paused = true)]
async fn a_put_is_followed_by_its_operation_exactly_as_given() {
    let operation = format!("{BASE}/ops/1?api-version=2016-03-30&t=6&c=MIIH%2Fhz&s=%3D");
    let poll = |status: &str| {
        ScriptedStep::new("GET", "/ops/1?api-version=2016-03-30&t=6&c=MIIH%2Fhz&s=%3D")
            .respond(200, json!({"status": status}))
    };
    let (client, script) = client(vec![
        put(201).header("azure-asyncoperation", &operation),
        poll("InProgress").header("retry-after", "30"),
        poll("Succeeded"),
        get("Succeeded"),
    ]);
    let start = Instant::now();
    let body =
        client.put(&table(), &json!({}), Precondition::IfMatch("W/\"1\"".into())).await.unwrap();
    assert_eq!(body, state("Succeeded"));
    // A route table usually takes 10 s; then Azure asked for 30 s.
    assert_eq!(start.elapsed().as_secs(), 40);
    assert_eq!(script.seen_header(0, "if-match").as_deref(), Some("W/\"1\""));
    assert_eq!(script.seen_uri(1), operation);
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_failure_inside_an_answer_of_200_is_a_failure() {
    let failed = json!({"status": "Failed", "error": {"code": "AnotherOperationInProgress",
        "message": "busy", "details": [{"code": "D", "message": "below"}]}});
    let (client, _) = client(vec![
        put(200).header("azure-asyncoperation", "http://arm.test/ops/1"),
        ScriptedStep::new("GET", "/ops/1").respond(200, failed),
    ]);
    let error = client.put(&table(), &json!({}), Precondition::None).await.unwrap_err();
    assert_eq!(error.code(), Some("AnotherOperationInProgress"));
    assert!(error.to_string().contains("below"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn location_alone_is_followed_and_its_last_header_ignored() {
    let place = "http://arm.test/results/1";
    let (client, script) = client(vec![
        ScriptedStep::new("PUT", TABLE).respond(202, Value::Null).header("location", place),
        ScriptedStep::new("GET", "/results/1").respond(202, Value::Null).header("location", place),
        ScriptedStep::new("GET", "/results/1").respond(200, json!({})).header("location", place),
        get("Succeeded"),
    ]);
    assert!(client.put(&table(), &json!({}), Precondition::None).await.is_ok());
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn without_headers_the_object_itself_is_watched() {
    let (client, script) =
        client(vec![put(201), get("Updating"), get("Updating"), get("Succeeded")]);
    let start = Instant::now();
    client.put(&table(), &json!({}), Precondition::IfNoneMatch).await.unwrap();
    // A route table usually takes 10 s, and is looked at again after 2 s.
    assert_eq!(start.elapsed().as_secs(), 12);
    assert_eq!(script.seen_header(0, "if-none-match").as_deref(), Some("*"));
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn an_object_left_in_failure_is_an_error() {
    let (client, _) = client(vec![put(201), get("Failed")]);
    let error = client.put(&table(), &json!({}), Precondition::None).await.unwrap_err();
    assert_eq!(error.code(), Some("ProvisioningFailed"));
}

#[tokio::test(start_paused = true)]
async fn a_changed_object_is_not_overwritten() {
    let body = json!({"error": {"code": "PreconditionFailed", "message": "etag"}});
    let (client, _) = client(vec![ScriptedStep::new("PUT", TABLE).respond(412, body)]);
    let error = client
        .put(&table(), &json!({}), Precondition::IfMatch("W/\"1\"".into()))
        .await
        .unwrap_err();
    assert!(error.is_precondition_failed());
    assert!(error.to_string().starts_with("PUT route table t"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_put_is_sent_again() {
    let (client, script) =
        client(vec![ScriptedStep::new("PUT", TABLE).dropped(), put(200), get("Succeeded")]);
    assert!(client.put(&table(), &json!({}), Precondition::None).await.is_ok());
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_delete_waits_until_the_object_is_gone() {
    let missing = || ScriptedStep::new("GET", TABLE).respond(404, not_found());
    let (client, script) = client(vec![
        ScriptedStep::new("DELETE", TABLE)
            .respond(202, Value::Null)
            .header("azure-asyncoperation", "http://arm.test/ops/1")
            .header("location", "http://arm.test/results/1"),
        ScriptedStep::new("GET", "/ops/1").respond(200, json!({"status": "Succeeded"})),
        get("Deleting"),
        missing(),
        ScriptedStep::new("DELETE", TABLE).respond(404, not_found()),
        ScriptedStep::new("DELETE", TABLE).respond(204, Value::Null),
    ]);
    for _ in 0..3 {
        client.delete(&table(), Precondition::None).await.unwrap();
    }
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn deletion_of_a_group_follows_its_location_and_may_fail() {
    let group = ArmId::resource_group("s", "g");
    let delete = || {
        ScriptedStep::new("DELETE", group.as_str())
            .respond(202, Value::Null)
            .header("location", "http://arm.test/subscriptions/s/operationresults/eyJqb2JJZCI6")
    };
    let result = |status, body| {
        ScriptedStep::new("GET", "/subscriptions/s/operationresults/").respond(status, body)
    };
    let (client, script) = client(vec![
        delete(),
        result(202, Value::Null),
        result(200, Value::Null),
        ScriptedStep::new("GET", group.as_str()).respond(404, not_found()),
        delete(),
        result(409, json!({"error": {"code": "ScopeLocked", "message": "locked"}})),
    ]);
    client.delete(&group, Precondition::None).await.unwrap();
    let error = client.delete(&group, Precondition::None).await.unwrap_err();
    assert!(error.is_conflict());
    assert!(Failure::from(&error).remedy.contains("lock"));
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_deletes_nothing_is_noticed() {
    let mut steps = vec![ScriptedStep::new("DELETE", TABLE).respond(200, Value::Null)];
    steps.extend(
        (0..super::super::follow_operation::MAX_READS_AFTER_DELETE).map(|_| get("Succeeded")),
    );
    let (client, script) = client(steps);
    assert!(client.delete(&table(), Precondition::None).await.is_err());
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn an_action_with_a_location_gives_its_result() {
    let place = "http://arm.test/results/1";
    let (client, script) = client(vec![
        ScriptedStep::new("POST", format!("{TABLE}/effectiveRouteTable?api-version=2024-03-01"))
            .respond(202, json!(null))
            .header("location", place),
        ScriptedStep::new("GET", "/results/1")
            .respond(200, json!({"value": []}))
            .header("location", place),
    ]);
    let value = client.post(&table(), "effectiveRouteTable", &Value::Null).await.unwrap();
    assert_eq!(value, json!({"value": []}));
    script.assert_finished();
}

#[tokio::test(start_paused = true)]
async fn a_list_follows_only_its_own_pages() {
    let (client, script) = client(vec![
        ScriptedStep::new("GET", "/subscriptions/s/x?api-version=v").respond(
            200,
            json!({"value": [{"id": "/1"}], "nextLink": "http://arm.test/subscriptions/s/x?page=2"}),
        ),
        ScriptedStep::new("GET", "/subscriptions/s/x?page=2")
            .respond(200, json!({"value": [{"id": "/2"}], "nextLink": ""})),
        ScriptedStep::new("GET", "/subscriptions/s/x?$filter=a&api-version=v")
            .respond(200, json!({"value": [], "nextLink": "http://evil.test/x"})),
    ]);
    let all = client.list("/subscriptions/s/x", "v").await.unwrap();
    assert_eq!(all, [json!({"id": "/1"}), json!({"id": "/2"})]);
    assert!(client.list("/subscriptions/s/x?$filter=a", "v").await.is_err());
    script.assert_finished();
}

#[tokio::test]
async fn invalid_ids_are_refused_before_a_request() {
    let (client, _) = client(vec![]);
    for id in ["", "relative", "/a//b", "/a/../b", "/a?b", "/a#b", "/a%2Fb", "/a b"] {
        assert!(client.get(&ArmId::new(id)).await.is_err(), "{id:?}");
    }
}

#[test]
fn the_client_shows_no_token() {
    let (client, _) = client(vec![]);
    assert!(!format!("{client:?} {:?}", client.tokens).contains("marked"));
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_have_a_code_and_a_remedy_and_are_not_shown() {
    for status in [401, 403] {
        let refusal = json!({"error": {"code": "AuthorizationFailed", "message": "no right"}});
        let (client, script) =
            client(vec![ScriptedStep::new("GET", TABLE).respond(status, refusal)]);
        let error = client.get(&table()).await.unwrap_err();
        assert_eq!(Failure::from(&error).code, Code::AzureRefused);
        assert!(
            Failure::from(&error).remedy.contains("az login"),
            "{}",
            Failure::from(&error).remedy
        );
        assert!(!format!("{error} {error:?}").contains("marked-token"));
        script.assert_finished();
    }
}

fn not_found() -> Value {
    json!({"error": {"code": "ResourceNotFound", "message": "The Resource was not found."}})
}

/// A token is the number of those that were refused.
#[derive(Debug, Default)]
struct Renewing(std::sync::atomic::AtomicU32);

#[async_trait::async_trait]
impl TokenSource for Renewing {
    async fn token(&self) -> Result<Secret, RequestError> {
        Ok(Secret::new(self.0.load(std::sync::atomic::Ordering::Relaxed).to_string()))
    }

    async fn forget(&self, _: &Secret) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let refused = || {
        let error = json!({"error": {"code": "ExpiredAuthenticationToken", "message": "m"}});
        ScriptedStep::new("GET", TABLE).respond(401, error)
    };
    let with = |tokens: Arc<dyn TokenSource>, steps: Vec<ScriptedStep>| {
        let script = Arc::new(Scripted::new(steps));
        let transport: Arc<dyn Transport> = Arc::<Scripted>::clone(&script);
        let limits = Limits::published();
        (ArmClient::new(transport, BASE, tokens, limits, RequestCount::default()), script)
    };
    let renewing = || Arc::new(Renewing::default());
    let (client, script) = with(renewing(), vec![refused(), get("Succeeded")]);
    assert_eq!(client.get(&table()).await.unwrap(), Some(state("Succeeded")));
    assert_eq!(script.seen_header(0, "authorization").as_deref(), Some("Bearer 0"));
    assert_eq!(script.seen_header(1, "authorization").as_deref(), Some("Bearer 1"));
    let (client, script) = with(renewing(), vec![refused(), refused()]);
    assert!(client.get(&table()).await.unwrap_err().is_refused());
    script.assert_finished();
    // The same token would be refused again.
    let fixed = Arc::new(StaticToken(Secret::new("marked-token")));
    let (client, script) = with(fixed, vec![refused()]);
    assert!(client.get(&table()).await.unwrap_err().is_refused());
    script.assert_finished();
}
