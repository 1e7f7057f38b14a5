//! Whether a certificate request is the one that a worker's kubelet makes.
//!
//! Pure: it reads the request object only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::extensions::ParsedExtension;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_ORGANIZATION_NAME,
};
use x509_parser::prelude::FromDer;

use crate::diagnostics::ServiceText;

/// The signer of a kubelet's client certificate.
pub(super) const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// The group of every node.
const NODES_GROUP: &str = "system:nodes";
const ALLOWED_USAGES: [&str; 3] = ["digital signature", "key encipherment", "client auth"];

/// Why a certificate request is not one of a worker's kubelet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    /// The request is for another signer.
    #[error("it asks the signer {0}")]
    Signer(String),
    /// Another client created it.
    #[error("{0} made it, not the worker's token")]
    Requester(String),
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// It asks for another name.
    #[error("it asks for the subject {0}")]
    Subject(String),
    /// It asks for names beside the subject.
    #[error("it asks for subject alternative names")]
    AlternativeNames,
    /// It asks for a use that a kubelet's client certificate has not.
    #[error("it asks for the usages {0}")]
    Usages(String),
}

/// Checks that the kubelet of `worker` could have made a CertificateSigningRequest with the
/// token `token_id`.
pub(super) fn check(
    object: &Value,
    worker: &str,
    token_id: &str,
) -> Result<(), CertificateRefusal> {
    let spec = &object["spec"];
    let signer = spec["signerName"].as_str().unwrap_or_default();
    if signer != CLIENT_SIGNER {
        return Err(CertificateRefusal::Signer(signer.to_owned()));
    }
    let requester = spec["username"].as_str().unwrap_or_default();
    if requester != format!("system:bootstrap:{token_id}") {
        return Err(CertificateRefusal::Requester(requester.to_owned()));
    }
    check_usages(&spec["usages"])?;
    let encoded = spec["request"].as_str().unwrap_or_default();
    let pem = STANDARD.decode(encoded).map_err(|error| malformed(&error))?;
    check_request(&pem, worker)
}

fn malformed(reason: &dyn std::fmt::Display) -> CertificateRefusal {
    CertificateRefusal::Malformed(ServiceText::message(&reason.to_string()).into())
}

fn check_usages(usages: &Value) -> Result<(), CertificateRefusal> {
    let usages: Vec<&str> =
        usages.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let allowed = usages.iter().all(|usage| ALLOWED_USAGES.contains(usage));
    if allowed && usages.contains(&"client auth") {
        Ok(())
    } else {
        Err(CertificateRefusal::Usages(usages.join(", ")))
    }
}

fn check_request(pem: &[u8], worker: &str) -> Result<(), CertificateRefusal> {
    let (rest, block) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| malformed(&error))?;
    if block.label != "CERTIFICATE REQUEST" || !rest.trim_ascii().is_empty() {
        return Err(malformed(&"it is not exactly one certificate request"));
    }
    let (rest, request) =
        X509CertificationRequest::from_der(&block.contents).map_err(|error| malformed(&error))?;
    if !rest.is_empty() {
        return Err(malformed(&"something follows the request"));
    }
    check_subject(&request, worker)?;
    check_attributes(&request)
}

/// Exactly one common name and one organisation, and nothing beside them: the
/// signer copies the whole subject, and every organisation is a group.
fn check_subject(
    request: &X509CertificationRequest<'_>,
    worker: &str,
) -> Result<(), CertificateRefusal> {
    let subject = &request.certification_request_info.subject;
    let refused = || CertificateRefusal::Subject(ServiceText::line(&subject.to_string()).into());
    let (mut names, mut groups) = (Vec::new(), Vec::new());
    for attribute in subject.iter_attributes() {
        let value = attribute.as_str().map_err(|_| refused())?;
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            names.push(value);
        } else if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME {
            groups.push(value);
        } else {
            return Err(refused());
        }
    }
    if names == [format!("system:node:{worker}")] && groups == [NODES_GROUP] {
        Ok(())
    } else {
        Err(refused())
    }
}

/// No alternative names, in any attribute, and nothing that cannot be read.
fn check_attributes(request: &X509CertificationRequest<'_>) -> Result<(), CertificateRefusal> {
    for attribute in request.certification_request_info.iter_attributes() {
        let ParsedCriAttribute::ExtensionRequest(requested) = attribute.parsed_attribute() else {
            return Err(malformed(&"it holds an attribute that a kubelet does not write"));
        };
        for extension in &requested.extensions {
            if extension.oid == OID_X509_EXT_SUBJECT_ALT_NAME {
                return Err(CertificateRefusal::AlternativeNames);
            }
            if let ParsedExtension::ParseError { error } = extension.parsed_extension() {
                return Err(malformed(error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "certificate_request_tests.rs"]
mod tests;
