//! A test client for the emulated ARM.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use super::{ArmContext, ArmStore};
use crate::resource::ArmId;

pub(super) const BASE: &str = "https://arm.test";
pub(super) const GROUP: &str = "/subscriptions/s/resourceGroups/g";

/// A store with one resource group, and a client for it.
pub(super) struct TestClient {
    pub(super) store: ArmStore,
    /// The `Retry-After` that the store sends, in seconds.
    pub(super) pause: u32,
    count: u64,
}

/// A parsed response.
#[derive(Debug)]
pub(super) struct TestResponse {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Value,
}

impl TestResponse {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Status and error code of an error response.
    pub(super) fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["error"]["code"].as_str().unwrap_or_default())
    }

    pub(super) fn state(&self) -> &str {
        self.body["properties"]["provisioningState"].as_str().unwrap_or_default()
    }
}

impl TestClient {
    pub(super) fn new() -> Self {
        let mut client = Self { store: ArmStore::default(), count: 0, pause: 0 };
        let reply = client.put(GROUP, json!({"location": "West Europe"}));
        assert_eq!(reply.status, 201);
        client
    }

    pub(super) fn send(&mut self, request: Request<Bytes>) -> TestResponse {
        let count = &mut self.count;
        let mut guid = || {
            *count += 1;
            format!("{count:08x}-1111-2222-3333-{count:012x}")
        };
        let mut context = ArmContext {
            base_url: BASE,
            now: jiff::Timestamp::UNIX_EPOCH,
            pause: self.pause,
            guid: &mut guid,
        };
        let (parts, body) = self.store.handle(&request, &mut context).into_parts();
        let body = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).unwrap(),
        };
        TestResponse { status: parts.status, headers: parts.headers, body }
    }

    pub(super) fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> TestResponse {
        let mark = if path.contains('?') { "&" } else { "?" };
        let version = if path.contains("api-version") {
            String::new()
        } else {
            format!("{mark}api-version=2024-05-01")
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{path}{version}"))
            .header("authorization", "Bearer token");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.send(request.body(body).unwrap())
    }

    pub(super) fn get(&mut self, path: &str) -> TestResponse {
        self.call(Method::GET, path, &[], None)
    }

    pub(super) fn put(&mut self, path: &str, body: Value) -> TestResponse {
        self.call(Method::PUT, path, &[], Some(body))
    }

    pub(super) fn delete(&mut self, path: &str) -> TestResponse {
        self.call(Method::DELETE, path, &[], None)
    }

    /// Polls an operation to its end and returns the final response.
    pub(super) fn follow(&mut self, reply: &TestResponse) -> TestResponse {
        let url = reply.header("azure-asyncoperation").unwrap().to_owned();
        for _ in 0..5 {
            let polled = self.get(&url);
            assert_eq!(polled.status, 200);
            assert_eq!(polled.header("retry-after"), Some("0"));
            if polled.body["status"] != "InProgress" {
                return polled;
            }
        }
        panic!("the operation does not end");
    }

    /// Sends a PUT and waits for the end of its operation.
    pub(super) fn make(&mut self, path: &str, body: Value) -> Value {
        let reply = self.put(path, body);
        assert!(reply.status.is_success(), "{path}: {}", reply.body);
        assert_eq!(self.follow(&reply).body["status"], "Succeeded");
        self.get(path).body
    }

    /// Sends a DELETE and waits for the end of its operation.
    pub(super) fn destroy(&mut self, path: &str) {
        let reply = self.delete(path);
        assert_eq!(reply.status, 202, "{path}: {}", reply.body);
        self.follow(&reply);
        assert_eq!(self.get(path).status, 404);
    }

    /// Creates the network `v` (10.1.0.0/16) with the subnet `n` (10.1.1.0/24).
    pub(super) fn make_network(&mut self) -> String {
        let path = network("virtualNetworks/v");
        self.make(
            &path,
            json!({"location": "westeurope", "properties": {
                "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]},
                "subnets": [{"name": "n", "properties": {"addressPrefix": "10.1.1.0/24"}}],
            }}),
        );
        path
    }

    /// An interface in `n`, with a static address if one is given.
    pub(super) fn interface(address: Option<&str>) -> Value {
        let subnet = network("virtualNetworks/v/subnets/n");
        let mut properties = json!({"subnet": {"id": subnet}});
        if let Some(address) = address {
            properties["privateIPAllocationMethod"] = json!("Static");
            properties["privateIPAddress"] = json!(address);
        }
        json!({"location": "westeurope", "properties": {
            "ipConfigurations": [{"name": "c", "properties": properties}],
        }})
    }

    /// A VM with the interface of the given name.
    pub(super) fn machine(interface: &str) -> Value {
        json!({"location": "westeurope", "properties": {
            "hardwareProfile": {"vmSize": "Standard_B2s"},
            "storageProfile": {"imageReference": {"sku": "server"}, "osDisk": {"deleteOption":
             "Delete"}},
            "osProfile": {
                "adminUsername": "azureuser", "adminPassword": "p", "customData":
                 "I2Nsb3VkLWNvbmZpZw==",
                "linuxConfiguration": {"ssh": {"publicKeys": [{"keyData": "k"}]}},
            },
            "networkProfile": {"networkInterfaces": [
                {"id": network(&format!("networkInterfaces/{interface}"))},
            ]},
        }})
    }
}

/// A path of the network provider in the group.
pub(super) fn network(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Network/{rest}")
}

/// A path of the compute provider in the group.
pub(super) fn compute(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.Compute/{rest}")
}

/// The path of a cluster in the group.
pub(super) fn cluster(rest: &str) -> String {
    format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/{rest}")
}

/// Parses an id from a path.
pub(super) fn id(path: &str) -> ArmId {
    ArmId::new(path)
}
