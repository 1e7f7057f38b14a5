use super::*;

fn failed(body: serde_json::Value) -> ClusterError {
    let status: kube::core::Status = serde_json::from_value(body).unwrap();
    About::new("apply", "DaemonSet", "a/b").failed(kube::Error::Api(Box::new(status)))
}

#[test]
fn a_field_conflict_names_the_other_manager() {
    let error = failed(serde_json::json!({
        "status": "Failure", "code": 409, "reason": "Conflict",
        "message": "Apply failed with 1 conflict: conflict with \"kubectl\" using v1: .spec.x",
        "details": { "causes": [{
            "reason": "FieldManagerConflict", "field": ".spec.x",
            "message": "conflict with \"kubectl\" using v1",
        }]},
    }));
    assert_eq!(error.conflicting_manager(), Some("kubectl"));
    assert!(error.is_conflict());
    assert!(error.to_string().starts_with("cannot apply DaemonSet a/b: Apply failed"));
}

#[test]
fn only_the_api_server_says_that_an_object_is_missing() {
    for (reason, message, expected) in [
        ("NotFound", "nodes \"a\" not found", true),
        ("Failed to parse error data", "404 page not found\n", true),
        ("Failed to parse error data", "<html>404 Not Found</html>", false),
        ("", "", false),
    ] {
        let status = serde_json::json!({
            "status": "Failure", "code": 404, "reason": reason, "message": message,
        });
        assert_eq!(failed(status).is_not_found(), expected, "{reason} {message}");
    }
}

#[test]
fn distinguishes_statuses() {
    for (code, cause, stable) in [
        (404, ClusterCause::Other, Code::UnexpectedResponse),
        (401, ClusterCause::Refused, Code::ClusterRefused),
        (403, ClusterCause::Refused, Code::ClusterRefused),
        (409, ClusterCause::Conflict, Code::ChangedSinceRead),
        (429, ClusterCause::Unavailable, Code::Throttled),
        (503, ClusterCause::Unavailable, Code::ServiceUnavailable),
        (422, ClusterCause::Other, Code::InvalidRequest),
        (405, ClusterCause::Other, Code::RequestError),
    ] {
        let error = failed(serde_json::json!({ "status": "Failure", "code": code }));
        assert_eq!((&error.cause, error.code), (&cause, stable), "{code}");
        assert!(!Failure::from(error).remedy.is_empty());
    }
    for (message, cause) in [
        ("etcdserver: request timed out", ClusterCause::Unavailable),
        (
            "failed to create typed patch object (a/b; stargate.io/v1alpha1, Kind=Server): \
             .spec.c: field not declared in schema",
            ClusterCause::Other,
        ),
    ] {
        let status = serde_json::json!({ "status": "Failure", "code": 500, "message": message });
        assert_eq!(failed(status).cause, cause, "{message}");
    }
}

#[test]
fn an_admission_webhook_and_an_existing_object_have_their_codes() {
    let denied = failed(serde_json::json!({
        "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "admission webhook \"validation.gatekeeper.sh\" denied the request: no tags",
    }));
    assert_eq!(denied.code, Code::AdmissionRefused);
    let exists = failed(serde_json::json!({
        "status": "Failure", "code": 409, "reason": "AlreadyExists", "message": "exists",
    }));
    assert_eq!(exists.code, Code::Conflict);
}

#[test]
fn the_causes_of_an_invalid_object_are_the_source() {
    let error = failed(serde_json::json!({
        "status": "Failure", "code": 422, "reason": "Invalid", "message": "is invalid",
        "details": { "causes": [{
            "reason": "FieldValueInvalid", "field": "spec.podCIDR", "message": "bad prefix",
        }]},
    }));
    assert_eq!(Failure::from(error).source, ["spec.podCIDR: bad prefix"]);
}
