//! Certificates of the sandbox's cluster: well-formed X.509, and identical in every run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};

/// The PKCS #8 prefix of a 32-byte Ed25519 key.
const ED25519_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A key derived from a text. Ed25519 signatures are deterministic, so a run of the sandbox is
/// reproducible byte for byte.
fn key(seed: &str) -> Result<KeyPair, rcgen::Error> {
    let mut encoded = ED25519_PREFIX.to_vec();
    encoded.extend_from_slice(&Sha256::digest(seed.as_bytes()));
    KeyPair::try_from(&PrivatePkcs8KeyDer::from(encoded))
}

fn parameters(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    parameters.distinguished_name = subject;
    parameters
}

fn authority_parameters() -> CertificateParams {
    let mut parameters = parameters("ca", None);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
}

/// The CA certificate of a cluster.
pub(crate) fn authority(cluster: &str) -> String {
    let made =
        key(&format!("ca {cluster}")).and_then(|key| authority_parameters().self_signed(&key));
    made.map(|certificate| certificate.pem()).unwrap_or_default()
}

/// A kubelet's request for a client certificate, in the format of a CertificateSigningRequest.
pub(super) fn request(cluster: &str, node: &str) -> String {
    let made = key(&format!("node {cluster} {node}")).and_then(|key| {
        parameters(&format!("system:node:{node}"), Some("system:nodes")).serialize_request(&key)
    });
    let pem = made.and_then(|request| request.pem()).unwrap_or_default();
    STANDARD.encode(pem)
}

/// Issues a client certificate in the format of the status of a CertificateSigningRequest. Subject
/// and key are the request's. The key usages are always those of a client. Returns `None` if the
/// request is invalid.
pub(super) fn issue(cluster: &str, request: &str) -> Option<String> {
    let pem = String::from_utf8(STANDARD.decode(request).ok()?).ok()?;
    let mut requested = CertificateSigningRequestParams::from_pem(&pem).ok()?;
    if !requested.params.subject_alt_names.is_empty() {
        return None;
    }
    requested.params.is_ca = IsCa::ExplicitNoCa;
    requested.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    requested.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = Issuer::new(authority_parameters(), key(&format!("ca {cluster}")).ok()?);
    Some(STANDARD.encode(requested.signed_by(&issuer).ok()?.pem()))
}

/// The node name in a request, if there is one. The name is part of the decoded request's subject
/// in plain text.
pub(crate) fn requested_node(request: &str) -> Option<String> {
    const PREFIX: &[u8] = b"system:node:";
    let pem = String::from_utf8(STANDARD.decode(request).ok()?).ok()?;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let encoded = STANDARD.decode(body).ok()?;
    let at = encoded.windows(PREFIX.len()).position(|window| window == PREFIX)?;
    // The byte before the name holds its length.
    let length = usize::from(*encoded.get(at.checked_sub(1)?)?);
    let name = encoded.get(at + PREFIX.len()..at + length)?;
    String::from_utf8(name.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_contains_its_node_name_and_is_reproducible() {
        let made = request("cluster", "dc1-worker-1");
        assert_eq!(requested_node(&made).as_deref(), Some("dc1-worker-1"));
        assert_eq!(made, request("cluster", "dc1-worker-1"));
        let issued = issue("cluster", &made);
        assert!(issued.is_some() && issued == issue("cluster", &made));
        assert_eq!(issue("cluster", &STANDARD.encode("no request")), None);
        assert!(authority("cluster").starts_with("-----BEGIN CERTIFICATE-----"));
    }
}
