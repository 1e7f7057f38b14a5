//! Template deployments, by which `az vm create` makes everything that a VM needs.
//!
//! A deployment runs within its own request: each resource is written as by a client, and
//! its operation is read until it ends.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::dispatch;
use super::errors::ArmError;
use super::request::ArmRequest;
use super::template::{TemplateScope, invalid};
use super::{ArmContext, ArmStore, etags, json, responses};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// More reads than the operation of any resource needs.
const MAX_READS: usize = 8;

/// Handles a request for a deployment.
pub(super) fn handle(
    store: &mut ArmStore,
    group: &ArmId,
    name: &str,
    validates: bool,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.existing_group(group)?;
    let key = key(group, name);
    match *call.method {
        Method::POST if validates => {
            let resources = resources(store, group, &call.json()?)?;
            let validated = resources.iter().map(|it| json!({ "id": it.path })).collect();
            Ok(responses::json(StatusCode::OK, &body(group, name, "Succeeded", validated)))
        }
        Method::PUT if !validates => {
            store.writable_group(group)?;
            let resources = resources(store, group, &call.json()?)?;
            let body = match deploy(store, &resources, context) {
                Ok(written) => body(group, name, "Succeeded", written),
                Err(error) => failed(group, name, error),
            };
            store.deployments.insert(key, body.clone());
            Ok(responses::json(StatusCode::CREATED, &body))
        }
        Method::GET if !validates => match store.deployments.get(&key) {
            Some(body) => Ok(responses::json(StatusCode::OK, body)),
            None => {
                let message = format!("Deployment '{name}' could not be found.");
                Err(ArmError::new(StatusCode::NOT_FOUND, "DeploymentNotFound", message))
            }
        },
        _ => Err(ArmError::method_not_allowed()),
    }
}

fn key(group: &ArmId, name: &str) -> String {
    format!("{group}/{name}").to_ascii_lowercase()
}

fn body(group: &ArmId, name: &str, state: &str, written: Vec<Value>) -> Value {
    json!({
        "id": format!("{group}/providers/Microsoft.Resources/deployments/{name}"),
        "name": name,
        "type": "Microsoft.Resources/deployments",
        "properties": {
            "provisioningState": state,
            "mode": "Incremental",
            "outputs": {},
            "outputResources": written,
        },
    })
}

fn failed(group: &ArmId, name: &str, error: ArmError) -> Value {
    let mut body = body(group, name, "Failed", Vec::new());
    let detail = json!({ "code": error.code, "message": error.message });
    let error = json!({
        "code": "DeploymentFailed",
        "message": "At least one resource deployment operation failed.",
        "details": [detail],
    });
    json::set(&mut body, &["properties", "error"], error);
    body
}

/// A resource of a template, evaluated.
struct TemplateResource {
    path: String,
    /// Type and name, by which others may depend on it.
    short: String,
    api_version: String,
    depends_on: Vec<String>,
    body: Value,
}

/// The resources of a template, dependencies first.
fn resources(
    store: &ArmStore,
    group: &ArmId,
    body: &Value,
) -> Result<Vec<TemplateResource>, ArmError> {
    let mode = json::text(body, "/properties/mode").unwrap_or("Incremental");
    if !mode.eq_ignore_ascii_case("Incremental") {
        let message = format!("The sandbox supports incremental deployments only, not '{mode}'.");
        return Err(ArmError::bad("InvalidDeploymentMode", message));
    }
    let Some(template) = body.pointer("/properties/template") else {
        return Err(invalid("the template is missing".to_owned()));
    };
    let group_body = store.existing_group(group)?;
    let mut scope = TemplateScope {
        group,
        group_body,
        parameters: parameters(template, body),
        variables: Map::new(),
    };
    let variables = template.get("variables").cloned().unwrap_or_default();
    if let Value::Object(variables) = scope.evaluate(&variables)? {
        scope.variables = variables;
    }
    let listed = json::items(template, "/resources").iter();
    let mut waiting =
        listed.map(|it| resource(&scope, it)).collect::<Result<Vec<TemplateResource>, _>>()?;
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_ready = |it: &TemplateResource| !waiting.iter().any(|other| it.depends_on(other));
        let Some(next) = waiting.iter().position(is_ready) else {
            return Err(invalid("the dependencies of the resources are a cycle".to_owned()));
        };
        ordered.push(waiting.remove(next));
    }
    Ok(ordered)
}

impl TemplateResource {
    fn depends_on(&self, other: &Self) -> bool {
        self.depends_on.iter().any(|it| {
            let it = it.trim_start_matches('/');
            it.eq_ignore_ascii_case(&other.short)
                || it.eq_ignore_ascii_case(other.path.trim_start_matches('/'))
        })
    }
}

/// The values of the parameters: those of the request, else the template's defaults.
fn parameters(template: &Value, body: &Value) -> Map<String, Value> {
    let mut values = Map::new();
    let declared = template.get("parameters").and_then(Value::as_object);
    for (name, declared) in declared.into_iter().flatten() {
        if let Some(default) = declared.get("defaultValue") {
            values.insert(name.clone(), default.clone());
        }
    }
    let given = body.pointer("/properties/parameters").and_then(Value::as_object);
    for (name, given) in given.into_iter().flatten() {
        if let Some(value) = given.get("value") {
            values.insert(name.clone(), value.clone());
        }
    }
    values
}

fn resource(scope: &TemplateScope<'_>, declared: &Value) -> Result<TemplateResource, ArmError> {
    let mut body = scope.evaluate(declared)?;
    let mut text = |name: &str| match json::take(&mut body, &[name]) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(invalid(format!("a resource has no '{name}'"))),
    };
    let (resource_type, name, api_version) = (text("type")?, text("name")?, text("apiVersion")?);
    let depends_on = json::take(&mut body, &["dependsOn"]).unwrap_or_default();
    let depends_on = json::items(&depends_on, "").iter().filter_map(Value::as_str);
    json::strip_nulls(&mut body);
    Ok(TemplateResource {
        path: scope.resource_id(&resource_type, &name.split('/').collect::<Vec<_>>()),
        short: format!("{resource_type}/{name}"),
        api_version,
        depends_on: depends_on.map(str::to_owned).collect(),
        body,
    })
}

/// Writes the resources one after another and returns their ids.
fn deploy(
    store: &mut ArmStore,
    resources: &[TemplateResource],
    context: &mut ArmContext<'_>,
) -> Result<Vec<Value>, ArmError> {
    let mut written = Vec::new();
    for resource in resources {
        let request =
            Request::put(format!("{}?api-version={}", resource.path, resource.api_version))
                .body(Bytes::from(resource.body.to_string()))
                .map_err(|error| invalid(format!("the name in {}: {error}", resource.short)))?;
        dispatch::handle_own(store, &request, context)?;
        let id = ArmId::new(resource.path.as_str());
        if let Some(owner) = store.owner_of(&id) {
            for _ in 0..MAX_READS {
                store.step_object(&owner, context);
            }
        }
        if store.get(&id).is_some_and(|body| etags::state(body) == "Failed") {
            let message = format!("The resource write operation of {id} failed to complete.");
            return Err(ArmError::conflict("ResourceDeploymentFailure", message));
        }
        written.push(json!({ "id": resource.path }));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::sandbox::arm::test_client::{GROUP, TestClient, compute, network};

    fn template(resources: Value) -> Value {
        json!({"properties": {"mode": "Incremental", "template": {
            "parameters": {"place": {"type": "string", "defaultValue": "westeurope"}},
            "resources": resources,
        }}})
    }

    fn path(rest: &str) -> String {
        format!("{GROUP}/providers/Microsoft.Resources/deployments/{rest}")
    }

    #[test]
    fn resources_are_made_in_the_order_of_their_dependencies() {
        let mut client = TestClient::new();
        client.make_network();
        let mut machine = TestClient::machine("i");
        machine["type"] = json!("Microsoft.Compute/virtualMachines");
        machine["name"] = json!("m");
        machine["apiVersion"] = json!("2024-11-01");
        machine["dependsOn"] = json!(["Microsoft.Network/networkInterfaces/i"]);
        machine["location"] = json!("[parameters('place')]");
        let mut interface = TestClient::interface(None);
        interface["type"] = json!("Microsoft.Network/networkInterfaces");
        interface["name"] = json!("i");
        interface["apiVersion"] = json!("2024-05-01");
        let body = template(json!([machine, interface]));
        let validated = client.call(Method::POST, &path("d/validate"), &[], Some(body.clone()));
        assert_eq!(validated.state(), "Succeeded");
        assert_eq!(client.get(&compute("virtualMachines/m")).status, 404);
        let made = client.put(&path("d"), body);
        assert_eq!((made.status.as_u16(), made.state()), (201, "Succeeded"), "{}", made.body);
        assert_eq!(client.get(&compute("virtualMachines/m")).state(), "Succeeded");
        assert_eq!(client.get(&path("d")).state(), "Succeeded");
    }

    #[test]
    fn a_refused_resource_fails_the_deployment() {
        let mut client = TestClient::new();
        let address = json!({
            "type": "Microsoft.Network/networkInterfaces", "name": "i", "apiVersion": "1",
            "location": "westeurope", "properties": {"ipConfigurations": [{"name": "c",
            "properties": {"subnet": {"id": network("virtualNetworks/v/subnets/n")}}}]},
        });
        let failed = client.put(&path("d"), template(json!([address])));
        assert_eq!((failed.status.as_u16(), failed.state()), (201, "Failed"));
        let detail = &failed.body["properties"]["error"]["details"][0]["code"];
        assert_eq!(detail, "InvalidResourceReference");
        let cyclic = json!([
            {"type": "A/b", "name": "x", "apiVersion": "1", "dependsOn": ["A/b/y"]},
            {"type": "A/b", "name": "y", "apiVersion": "1", "dependsOn": ["A/b/x"]},
        ]);
        assert_eq!(client.put(&path("e"), template(cyclic)).refusal(), (400, "InvalidTemplate"));
        assert_eq!(client.get(&path("e")).refusal(), (404, "DeploymentNotFound"));
    }
}
