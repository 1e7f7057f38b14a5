//! The assertion of an application, signed with the private key of its certificate.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::method::missing;
use crate::provider::error::RequestError;

/// How long an assertion is valid; it is made for one request.
const LIFETIME: Duration = Duration::from_secs(300);
/// The tag of a DER sequence, with which a PKCS#12 file begins.
const DER_SEQUENCE: u8 = 0x30;

/// A certificate with its private key.
#[derive(Debug)]
pub(super) struct ClientCertificate {
    certificates: Vec<CertificateDer<'static>>,
    key: RsaKeyPair,
}

/// The claims of an assertion.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claims<'a> {
    /// The token endpoint.
    pub(super) audience: &'a str,
    /// The application.
    pub(super) client: &'a str,
    /// A value that no other assertion has.
    pub(super) id: &'a str,
    /// The time of the request.
    pub(super) now: Timestamp,
}

impl ClientCertificate {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has no certificate and RSA key in PEM.
    pub(super) async fn read(path: &Path) -> Result<Self, RequestError> {
        let content = tokio::fs::read(path).await.map_err(|error| {
            missing(
                format!("the certificate `{}` cannot be read: {error}", path.display()),
                "correct AZURE_CLIENT_CERTIFICATE_PATH: it names a file with the certificate and \
                 its private key in PEM",
            )
        })?;
        Self::parse(&content).map_err(|(problem, remedy)| {
            missing(format!("the certificate `{}` {problem}", path.display()), remedy)
        })
    }

    /// Reads the certificates and the key; an error has a problem and its remedy.
    fn parse(content: &[u8]) -> Result<Self, (&'static str, &'static str)> {
        if content.first() == Some(&DER_SEQUENCE) {
            return Err((
                "is a PKCS#12 file",
                "convert it to PEM: `openssl pkcs12 -in FILE -out FILE.pem -nodes`, and set \
                 AZURE_CLIENT_CERTIFICATE_PATH to the new file",
            ));
        }
        let text = String::from_utf8_lossy(content);
        if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err((
                "has an encrypted private key",
                "decrypt it: `openssl pkey -in FILE` prints the key for a file that only the \
                 user of stargate can read",
            ));
        }
        let certificates: Vec<_> =
            CertificateDer::pem_slice_iter(content).filter_map(Result::ok).collect();
        let no_key = (
            "has no RSA private key in PEM",
            "append the private key, which belongs to the certificate, to the file",
        );
        let key = match PrivateKeyDer::from_pem_slice(content) {
            Ok(PrivateKeyDer::Pkcs8(key)) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(no_key),
        };
        let key = key.map_err(|_| no_key)?;
        if certificates.is_empty() {
            return Err(("has no certificate in PEM", "append the certificate to the file"));
        }
        Ok(Self { certificates, key })
    }

    /// The signed assertion, in the format of *Application authentication certificate
    /// credentials* in the documentation of Microsoft Entra.
    pub(super) fn assertion(&self, claims: Claims<'_>, send_chain: bool) -> Option<String> {
        let leaf = self.certificates.first()?;
        let thumbprint = digest(&SHA256, leaf);
        let mut header = json!({
            "alg": "PS256",
            "typ": "JWT",
            "x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint),
        });
        if send_chain {
            let chain: Vec<String> =
                self.certificates.iter().map(|it| STANDARD.encode(it)).collect();
            header["x5c"] = json!(chain);
        }
        let begin = claims.now.as_second();
        let payload = json!({
            "aud": claims.audience,
            "iss": claims.client,
            "sub": claims.client,
            "jti": claims.id,
            "nbf": begin,
            "iat": begin,
            "exp": begin.saturating_add_unsigned(LIFETIME.as_secs()),
        });
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let mut signature = vec![0; self.key.public().modulus_len()];
        let random = SystemRandom::new();
        self.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    const FILE: &[u8] = include_bytes!("../../../tests/certificates/application.pem");

    #[test]
    fn an_assertion_is_signed_with_the_key_of_the_certificate() {
        let file = ClientCertificate::parse(FILE).unwrap();
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let claims = Claims { audience: "https://login/t", client: "c", id: "1", now };
        for send_chain in [false, true] {
            let assertion = file.assertion(claims, send_chain).unwrap();
            let (signed, signature) = assertion.rsplit_once('.').unwrap();
            let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
            let leaf = X509Certificate::from_der(&file.certificates[0]).unwrap().1;
            let key = &leaf.subject_pki.subject_public_key.data;
            UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key)
                .verify(signed.as_bytes(), &decode(signature))
                .unwrap();
            let (header, payload) = signed.split_once('.').unwrap();
            let json = |text| serde_json::from_slice::<serde_json::Value>(&decode(text)).unwrap();
            assert_eq!(json(header)["x5c"].is_array(), send_chain);
            assert_eq!(json(payload)["sub"], "c");
            assert_eq!(json(payload)["exp"], 1_700_000_300);
        }
    }

    #[test]
    fn other_files_are_refused_with_a_remedy() {
        let text = String::from_utf8(FILE.to_vec()).unwrap();
        let (key, certificate) = text.split_once("-----BEGIN CERTIFICATE").unwrap();
        let encrypted = text.replace("BEGIN PRIVATE KEY", "BEGIN ENCRYPTED PRIVATE KEY");
        for (content, problem) in [
            (b"\x30\x82".to_vec(), "PKCS#12"),
            (encrypted.into_bytes(), "encrypted"),
            (key.as_bytes().to_vec(), "no certificate"),
            (format!("-----BEGIN CERTIFICATE{certificate}").into_bytes(), "no RSA private key"),
            (Vec::new(), "no RSA private key"),
        ] {
            let (found, remedy) = ClientCertificate::parse(&content).unwrap_err();
            assert!(found.contains(problem) && !remedy.is_empty(), "{found}");
        }
    }
}
