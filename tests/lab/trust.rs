//! The certificate authority of the lab.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// An authority that all hosts trust.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    /// The certificate of the authority.
    pub(crate) certificate: String,
}

/// The files of a server's certificate and key.
pub(crate) struct ServerFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "lab");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { folder: folder.to_owned(), issuer: Issuer::new(params, key), certificate }
    }

    /// Issues a certificate for a server with these names and this address.
    pub(crate) fn issue(&self, names: &[&str], address: &str) -> ServerFiles {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let file = self.folder.join(&names[0]);
        let mut params = CertificateParams::new(names).unwrap();
        params.subject_alt_names.push(SanType::IpAddress(address.parse::<IpAddr>().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ServerFiles {
            certificate: file.with_extension("crt"),
            key: file.with_extension("key"),
        };
        std::fs::write(&files.certificate, certificate.pem()).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }
}
