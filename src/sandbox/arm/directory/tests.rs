//! Sign-in to the emulated directory, and what its tokens are good for.

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use serde_json::Value;

use crate::sandbox::arm::subscriptions::TENANT;
use crate::sandbox::arm::{ArmContext, ArmStore};

struct Tenant {
    store: ArmStore,
    count: u32,
    now: Timestamp,
}

impl Tenant {
    fn new() -> Self {
        Self { store: ArmStore::default(), count: 0, now: Timestamp::from_second(1_000).unwrap() }
    }

    fn register(&mut self, name: &str) -> &mut super::DirectoryIdentity {
        self.store.directory.identity(name, &mut || format!("id-of-{name}"))
    }

    fn send(&mut self, request: Request<Bytes>) -> (u16, Value) {
        let count = &mut self.count;
        let mut guid = || {
            *count += 1;
            format!("guid-{count}")
        };
        let mut context =
            ArmContext { base_url: "https://arm.test", now: self.now, pause: 0, guid: &mut guid };
        let response = self.store.handle(&request, &mut context);
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        (response.status().as_u16(), body)
    }

    fn sign_in(&mut self, tenant: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let scope = "https://management.azure.com/.default";
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .extend_pairs(fields)
            .finish();
        let request = Request::post(format!("/{tenant}/oauth2/v2.0/token"));
        self.send(request.body(Bytes::from(body)).unwrap())
    }

    /// The code of the refusal of a secret.
    fn code(&mut self, tenant: &str, client: &str, secret: &str) -> i64 {
        let fields = [("client_id", client), ("client_secret", secret)];
        let (status, body) = self.sign_in(tenant, &fields);
        assert!((400..=401).contains(&status), "{body}");
        body["error_codes"][0].as_i64().unwrap()
    }

    fn token(&mut self, client: &str, secret: &str) -> String {
        let fields = [("client_id", client), ("client_secret", secret)];
        let (status, body) = self.sign_in(TENANT, &fields);
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn list(&mut self, token: &str) -> (u16, String) {
        let request = Request::get("/subscriptions?api-version=2022-12-01")
            .header("authorization", format!("Bearer {token}"));
        let (status, body) = self.send(request.body(Bytes::new()).unwrap());
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

#[test]
fn without_identities_any_credential_is_accepted() {
    let mut tenant = Tenant::new();
    let token = tenant.token("any", "secret");
    assert_eq!(tenant.list(&token).0, 200);
    assert_eq!(tenant.list("a-token-of-another-program").0, 200);
    assert_eq!(tenant.list("sandbox-that-was-not-issued").0, 401);
}

#[test]
fn each_wrong_part_of_a_sign_in_has_its_code() {
    let mut tenant = Tenant::new();
    let end = tenant.now + jiff::SignedDuration::from_secs(60);
    let identity = tenant.register("app");
    identity.add_secret("right", None);
    identity.add_secret("brief", Some(end));
    tenant.register("machine").managed = true;
    let app = "id-of-app";
    assert_eq!(tenant.code("other-tenant", app, "right"), 90_002);
    assert_eq!(tenant.code(TENANT, "unknown", "right"), 700_016);
    assert_eq!(tenant.code(TENANT, "id-of-machine", "right"), 700_016);
    assert_eq!(tenant.code(TENANT, app, "wrong"), 7_000_215);
    assert_eq!(tenant.code(TENANT, app, ""), 7_000_218);
    tenant.token(app, "brief");
    tenant.now = end;
    assert_eq!(tenant.code(TENANT, app, "brief"), 7_000_222);
    tenant.register("app").disabled = true;
    assert_eq!(tenant.code(TENANT, app, "right"), 7_000_112);
}

#[test]
fn tokens_expire_and_are_revoked() {
    let mut tenant = Tenant::new();
    tenant.store.directory.set_token_seconds(Some(10));
    tenant.register("app").add_secret("right", None);
    let first = tenant.token("id-of-app", "right");
    assert_eq!(tenant.list(&first).0, 200);
    assert_eq!(tenant.list("of-another-program"), (401, "InvalidAuthenticationToken".to_owned()));
    assert_eq!(tenant.list("sandbox").0, 200);
    tenant.now += jiff::SignedDuration::from_secs(10);
    assert_eq!(tenant.list(&first), (401, "ExpiredAuthenticationToken".to_owned()));
    let second = tenant.token("id-of-app", "right");
    tenant.store.directory.revoke_tokens("another");
    assert_eq!(tenant.list(&second).0, 200);
    tenant.store.directory.revoke_tokens("app");
    assert_eq!(tenant.list(&second), (401, "InvalidAuthenticationToken".to_owned()));
    let third = tenant.token("id-of-app", "right");
    assert_eq!(tenant.list(&third).0, 200);
}

#[test]
fn a_token_for_another_service_is_not_accepted() {
    let mut tenant = Tenant::new();
    tenant.register("app").add_secret("right", None);
    let credentials = [("client_id", "id-of-app"), ("client_secret", "right")];
    for (resource, expected) in [
        ("https://management.core.windows.net/", Ok(200)),
        ("6dae42f8-4368-4678-94ff-3960e28e3630", Ok(401)),
        ("https://unknown.example", Err(500_011)),
    ] {
        let fields = [&credentials[..], &[("resource", resource)]].concat();
        let (_, body) = tenant.sign_in(TENANT, &fields);
        match expected {
            Ok(status) => {
                let token = body["access_token"].as_str().unwrap().to_owned();
                assert_eq!(tenant.list(&token).0, status, "{resource}");
            }
            Err(code) => assert_eq!(body["error_codes"][0], code),
        }
    }
}

#[test]
fn machines_get_tokens_of_their_own_identity() {
    let mut tenant = Tenant::new();
    let ask = |tenant: &mut Tenant, query: &str, header: &str| {
        let resource = "resource=https%3A%2F%2Fmanagement.azure.com%2F&api-version=2018-02-01";
        let request = Request::get(format!("/metadata/identity/oauth2/token?{resource}{query}"))
            .header("metadata", header);
        tenant.send(request.body(Bytes::new()).unwrap())
    };
    tenant.register("app").add_secret("right", None);
    assert_eq!(ask(&mut tenant, "", "true").1["error_description"], "Identity not found");
    tenant.register("machine").managed = true;
    assert_eq!(ask(&mut tenant, "", "false").0, 400);
    let (status, body) = ask(&mut tenant, "", "true");
    assert_eq!((status, &body["expires_in"]), (200, &Value::from("3599")));
    assert_eq!(tenant.list(body["access_token"].as_str().unwrap()).0, 200);
    assert_eq!(ask(&mut tenant, "&client_id=id-of-machine", "True").0, 200);
    assert_eq!(ask(&mut tenant, "&client_id=id-of-app", "true").0, 400);
    tenant.register("another").managed = true;
    let (_, body) = ask(&mut tenant, "", "true");
    assert!(body["error_description"].as_str().unwrap().starts_with("Multiple"), "{body}");
}

#[test]
fn the_endpoints_of_the_cloud_have_the_form_of_their_version() {
    let mut tenant = Tenant::new();
    let mut ask = |version: &str| {
        let request = Request::get(format!("/metadata/endpoints?api-version={version}"));
        tenant.send(request.body(Bytes::new()).unwrap()).1
    };
    let login = "/authentication/loginEndpoint";
    for version in ["1.0", "2015-01-01", "2022-09-01"] {
        assert_eq!(ask(version).pointer(login), Some(&Value::from("https://arm.test")));
    }
    assert_eq!(ask("2019-05-01")[0]["resourceManager"], "https://arm.test");
}
