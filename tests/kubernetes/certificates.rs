//! The kubelet's side of TLS bootstrap: a key, a request, and the inspection of the issued
//! certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer as _, X509Certificate};

pub(crate) const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
pub(crate) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// The content of a certificate request.
#[derive(Debug, Clone)]
pub(crate) struct RequestSpec<'a> {
    pub(crate) node: &'a str,
    pub(crate) groups: &'a [&'a str],
    pub(crate) usages: &'a [&'a str],
    pub(crate) alternative_names: &'a [&'a str],
    pub(crate) signer: &'a str,
}

/// The content of the request that the kubelet of a node makes.
pub(crate) fn kubelet_request_spec(node: &str) -> RequestSpec<'_> {
    RequestSpec {
        node,
        groups: &["system:nodes"],
        usages: &["digital signature", "client auth"],
        alternative_names: &[],
        signer: CLIENT_SIGNER,
    }
}

/// A CertificateSigningRequest.
pub(crate) fn request(name: &str, spec: &RequestSpec<'_>, key: &KeyPair) -> Value {
    let names: Vec<String> = spec.alternative_names.iter().map(|&name| name.to_owned()).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    let mut subject = DistinguishedName::new();
    for group in spec.groups {
        subject.push(DnType::OrganizationName, *group);
    }
    subject.push(DnType::CommonName, format!("system:node:{}", spec.node));
    parameters.distinguished_name = subject;
    let pem = parameters.serialize_request(key).unwrap().pem().unwrap();
    json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "name": name },
        "spec": {
            "request": encode(pem.as_bytes()),
            "signerName": spec.signer,
            "usages": spec.usages,
        },
    })
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The content of a certificate.
#[derive(Debug, PartialEq)]
pub(crate) struct Issued {
    pub(crate) subject: String,
    pub(crate) for_this_key: bool,
    pub(crate) client: bool,
    pub(crate) server: bool,
    pub(crate) authority: bool,
}

/// Parses the certificate of a request's status.
pub(crate) fn issued(pem: &str, key: &KeyPair) -> Option<Issued> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&block.contents).ok()?;
    let usage = certificate.extended_key_usage().ok()??.value;
    Some(Issued {
        subject: certificate.subject().to_string(),
        for_this_key: certificate.public_key().raw == key.subject_public_key_info(),
        client: usage.client_auth,
        server: usage.server_auth,
        authority: certificate.is_ca(),
    })
}

/// The certificate in a request's status, as PEM.
pub(crate) fn certificate_of(request: &Value) -> Option<String> {
    let encoded = request["status"]["certificate"].as_str()?;
    String::from_utf8(STANDARD.decode(encoded).ok()?).ok()
}

/// Types and reasons of a request's conditions.
pub(crate) fn conditions(request: &Value) -> Vec<String> {
    let conditions = request["status"]["conditions"].as_array().into_iter().flatten();
    conditions
        .map(|it| {
            let word = |field: &str| it[field].as_str().unwrap_or_default();
            format!("{} {}", word("type"), word("reason"))
        })
        .collect()
}
