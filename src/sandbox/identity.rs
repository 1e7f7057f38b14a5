//! Authentication with client certificates.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::controllers::certificates::authority;
use super::kubernetes::UserInfo;

/// The certificate chain of a client's connection, the client's own certificate first. The client
/// has proved that it has the key. Whether the cluster issued the certificate is not checked yet.
#[derive(Debug, Clone)]
pub(crate) struct PresentedCertificates(pub(crate) Arc<Vec<CertificateDer<'static>>>);

/// The user in the certificate, if the cluster issued it.
pub(crate) fn user(
    presented: &PresentedCertificates,
    instance: &str,
    now: Timestamp,
) -> Option<UserInfo> {
    let (own, between) = presented.0.split_first()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority(instance).as_bytes()).ok()?).ok()?;
    let provider = Arc::new(ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    let seconds = u64::try_from(now.as_second()).ok()?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    verifier.verify_client_cert(own, between, now).ok()?;
    subject(own)
}

/// The common name is the user name, and each organisation is a group.
fn subject(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let organizations = subject.iter_organization().filter_map(|it| it.as_str().ok());
    let groups = organizations.chain(["system:authenticated"]).map(str::to_owned).collect();
    Some(UserInfo { name, groups })
}
