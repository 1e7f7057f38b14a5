use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::json;

use super::*;

struct Request {
    name: &'static str,
    groups: &'static [&'static str],
    alternative_names: &'static [&'static str],
    extra: bool,
}

const RIGHT: Request = Request {
    name: "system:node:dc1-w1",
    groups: &["system:nodes"],
    alternative_names: &[],
    extra: false,
};

fn object(request: &Request) -> Value {
    let names: Vec<String> =
        request.alternative_names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let mut subject = DistinguishedName::new();
    for group in request.groups {
        subject.push(DnType::OrganizationName, *group);
    }
    subject.push(DnType::CommonName, request.name);
    if request.extra {
        subject.push(DnType::OrganizationalUnitName, "admins");
    }
    params.distinguished_name = subject;
    let key = KeyPair::generate().unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    json!({ "spec": {
        "signerName": CLIENT_SIGNER,
        "username": "system:bootstrap:abc123",
        "usages": ["digital signature", "client auth"],
        "request": STANDARD.encode(pem),
    }})
}

fn checked(object: &Value) -> Result<(), CertificateRefusal> {
    check(object, "dc1-w1", "abc123")
}

#[test]
fn the_request_of_a_kubelet_is_accepted() {
    assert_eq!(checked(&object(&RIGHT)), Ok(()));
}

#[test]
fn another_subject_is_refused() {
    for request in [
        Request { name: "system:node:dc1-w2", ..RIGHT },
        Request { name: "system:node:dc1-w1x", ..RIGHT },
        Request { groups: &["system:masters"], ..RIGHT },
        Request { groups: &[], ..RIGHT },
        Request { extra: true, ..RIGHT },
    ] {
        let refusal = checked(&object(&request));
        assert!(matches!(refusal, Err(CertificateRefusal::Subject(_))), "{refusal:?}");
    }
}

#[test]
fn alternative_names_are_refused() {
    let request = Request { alternative_names: &["kubernetes.default"], ..RIGHT };
    assert_eq!(checked(&object(&request)), Err(CertificateRefusal::AlternativeNames));
}

#[test]
fn another_requester_or_signer_is_refused() {
    let mut other = object(&RIGHT);
    other["spec"]["username"] = json!("system:bootstrap:abc124");
    assert!(matches!(checked(&other), Err(CertificateRefusal::Requester(_))));
    let mut other = object(&RIGHT);
    other["spec"]["signerName"] = json!("kubernetes.io/kube-apiserver-client");
    assert!(matches!(checked(&other), Err(CertificateRefusal::Signer(_))));
}

#[test]
fn other_usages_are_refused() {
    for usages in [
        json!(["digital signature", "client auth", "server auth"]),
        json!(["digital signature", "key encipherment"]),
        json!([]),
    ] {
        let mut other = object(&RIGHT);
        other["spec"]["usages"] = usages;
        assert!(matches!(checked(&other), Err(CertificateRefusal::Usages(_))));
    }
}

#[test]
fn more_than_one_request_is_refused() {
    let mut other = object(&RIGHT);
    let pem = STANDARD.decode(other["spec"]["request"].as_str().unwrap()).unwrap();
    other["spec"]["request"] = json!(STANDARD.encode([pem.clone(), pem].concat()));
    assert!(matches!(checked(&other), Err(CertificateRefusal::Malformed(_))));
    other["spec"]["request"] = json!("bm90IGEgcmVxdWVzdA==");
    assert!(matches!(checked(&other), Err(CertificateRefusal::Malformed(_))));
}
