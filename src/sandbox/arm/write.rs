//! PUT and PATCH.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::children::{self, find_child};
use super::draft::Draft;
use super::errors::ArmError;
use super::index::{self, key};
use super::kind::{ArmKind, ChildKind, Provider};
use super::operation::{Operation, OperationEffect};
use super::operations::OperationStart;
use super::path::ObjectPath;
use super::request::ArmRequest;
use super::{
    ArmContext, ArmStore, completion, compute, etags, guards, json, render, resource_body,
    responses, vm_attachments,
};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// PUT of a whole object.
pub(super) fn put(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.writable_group(&path.group)?;
    let body = call.json()?;
    let old = store.stored(&path.id).map(|stored| stored.body.clone());
    etags::check(call.headers, &path.id, old.as_ref())?;
    store.refuse_while_busy(path.kind, &path.id, context)?;
    check_location(path, &body, old.as_ref())?;
    write(store, &Write { path, child: None, call }, old, body, context)
}

/// PUT of a child at its own URL.
pub(super) fn put_child(
    store: &mut ArmStore,
    path: &ObjectPath,
    child: ChildKind,
    id: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.writable_group(&path.group)?;
    let body = call.json()?;
    let Some(parent) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let old = parent.body.clone();
    etags::check(call.headers, id, find_child(&old, child, id.name()))?;
    store.refuse_while_busy(path.kind, &path.id, context)?;
    let mut whole = old.clone();
    children::put_child(&mut whole, &path.id, child, id.name(), body);
    write(store, &Write { path, child: Some((child, id)), call }, Some(old), whole, context)
}

/// PATCH of the tags; for VMs, of any member.
pub(super) fn patch(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.writable_group(&path.group)?;
    let mut patch = call.json()?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    etags::check(call.headers, &path.id, Some(&stored.body))?;
    let mut body = stored.body.clone();
    store.refuse_while_busy(path.kind, &path.id, context)?;
    // Tags are replaced as a whole, unlike other members.
    if let Some(tags) = json::take(&mut patch, &["tags"]) {
        json::set(&mut body, &["tags"], tags);
    }
    if path.kind == ArmKind::VirtualMachine {
        let old = store.stored(&path.id).map(|stored| stored.body.clone());
        json::merge(&mut body, &patch);
        return write(store, &Write { path, child: None, call }, old, body, context);
    }
    store.modify(&path.id, |stored| *stored = body, context.guid);
    let rendered = store.stored(&path.id).map(|stored| render::object(store, stored));
    Ok(responses::json(StatusCode::OK, &rendered.unwrap_or_default()))
}

struct Write<'a> {
    path: &'a ObjectPath,
    child: Option<(ChildKind, &'a ArmId)>,
    call: &'a ArmRequest<'a>,
}

impl Write<'_> {
    fn target(&self) -> &ArmId {
        self.child.map_or(&self.path.id, |(_, id)| id)
    }

    /// Whether the write creates its target.
    fn creates(&self, old: Option<&Value>) -> bool {
        match (self.child, old) {
            (_, None) => true,
            (Some((child, id)), Some(old)) => find_child(old, child, id.name()).is_none(),
            (None, Some(_)) => false,
        }
    }
}

fn write(
    store: &mut ArmStore,
    write: &Write<'_>,
    old: Option<Value>,
    mut body: Value,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let kind = write.path.kind;
    let id = store.stored(&write.path.id).map_or_else(|| write.path.id.clone(), |s| s.id.clone());
    let custom_data = compute::take_custom_data(store, kind, &id, old.is_some(), &mut body)?;
    let draft = Draft {
        store,
        kind,
        id: &id,
        old: old.as_ref(),
        api_version: &write.call.api_version,
        child: write.child.map(|(_, id)| id),
    };
    let mut body = completion::complete(&draft, body, context)?;
    guards::refuse_body(&draft, &body)?;
    check_references(store, kind, &id, &body, write.child.map(|(_, id)| id), context)?;
    let creates = write.creates(old.as_ref());
    let state = state_while_written(kind, creates);
    etags::set_state(kind, &mut body, state, write.child.map(|(_, id)| id.name()));
    etags::preserve(kind, &mut body, old.as_ref());
    etags::stamp(kind, &mut body, context.guid);
    store.insert_object(id.clone(), kind, body);
    if let Some(custom_data) = custom_data {
        store.custom_data.insert(key(&id), custom_data);
    }
    if kind == ArmKind::VirtualMachine {
        if creates {
            store.off.remove(&key(&id));
        }
        vm_attachments::attach_interfaces(store, &id, context.guid);
    }
    let location = store.location(&id);
    let operation = store.begin(
        OperationStart {
            kind,
            subscription: &write.path.subscription,
            location: &location,
            api_version: &write.call.api_version,
            owner: &id,
            target: write.target(),
            effect: OperationEffect::Write,
        },
        context,
    );
    Ok(accepted(store, write, creates, &operation, context))
}

fn accepted(
    store: &ArmStore,
    write: &Write<'_>,
    creates: bool,
    operation: &Operation,
    context: &ArmContext<'_>,
) -> Response<Bytes> {
    let rendered = match write.child {
        Some((_, id)) => render::child(store, id),
        None => store.stored(&write.path.id).map(|stored| render::object(store, stored)),
    };
    let status = if creates { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = responses::json(status, &rendered.unwrap_or_default());
    responses::header(
        &mut response,
        "azure-asyncoperation",
        &operation.status_url(context.base_url),
    );
    responses::header(&mut response, "azure-asyncnotification", "Enabled");
    response
}

/// An interface is `Succeeded` at once, although it has an operation to poll.
fn state_while_written(kind: ArmKind, creates: bool) -> &'static str {
    match kind.provider() {
        _ if kind == ArmKind::NetworkInterface => "Succeeded",
        Provider::Compute | Provider::ContainerService if creates => "Creating",
        _ => "Updating",
    }
}

fn check_location(path: &ObjectPath, body: &Value, old: Option<&Value>) -> Result<(), ArmError> {
    let Some(location) = json::text(body, "/location") else {
        let message = "The location property is required for this definition.";
        return Err(ArmError::bad("LocationRequired", message));
    };
    let present = old.and_then(|old| json::text(old, "/location")).unwrap_or(location);
    if resource_body::location_name(present) == resource_body::location_name(location) {
        return Ok(());
    }
    let message = format!(
        "The resource '{}' already exists in location '{present}' in resource group '{}'. A \
         resource with the same name cannot be created in location '{location}'. Please select a \
         new resource name.",
        path.id.name(),
        path.group.name(),
    );
    Err(ArmError::conflict("InvalidResourceLocation", message))
}

/// Returns an error unless every referenced object exists and has no running operation.
fn check_references(
    store: &mut ArmStore,
    kind: ArmKind,
    id: &ArmId,
    body: &Value,
    written: Option<&ArmId>,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    for reference in index::references(kind, id, body) {
        if written.is_some_and(|written| *written != reference.source && reference.source != *id) {
            continue;
        }
        let (target, source) = (reference.target.as_str(), reference.source.as_str());
        let Some(state) = store.get(&reference.target).map(|body| etags::state(body).to_owned())
        else {
            return Err(ArmError::invalid_reference(target, source));
        };
        if !matches!(state.as_str(), "Updating" | "Creating" | "Deleting") {
            continue;
        }
        let Some(owner) = store.owner_of(&reference.target) else { continue };
        let verb = store.running(&owner).map(Operation::verb).unwrap_or_default();
        let refusal = ArmError::not_provisioned(target, source, &state, &verb);
        store.step_object(&owner, context);
        return Err(refusal);
    }
    Ok(())
}
