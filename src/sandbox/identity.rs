//! Who asks, where a client shows a certificate.

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

/// The certificates that a client showed on its connection, its own first. It
/// has the key; who issued them is not said yet.
#[derive(Debug, Clone)]
pub(crate) struct ShownCertificates(pub(crate) Arc<Vec<CertificateDer<'static>>>);

/// The user whom the certificates stand for, if the cluster issued them.
pub(crate) fn user(shown: &ShownCertificates, instance: &str, now: Timestamp) -> Option<UserInfo> {
    let (own, between) = shown.0.split_first()?;
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

/// The common name is the user, and each organisation a group.
fn subject(certificate: &CertificateDer<'_>) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let organizations = subject.iter_organization().filter_map(|it| it.as_str().ok());
    let groups = organizations.chain(["system:authenticated"]).map(str::to_owned).collect();
    Some(UserInfo { name, groups })
}
