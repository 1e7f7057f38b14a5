//! Assertions: signed JSON web tokens in the place of a client secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, RsaParameters, UnparsedPublicKey,
};
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A parsed assertion, whose signature is not checked yet.
#[derive(Debug)]
pub(in crate::sandbox) struct Assertion {
    header: Value,
    claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Assertion {
    pub(in crate::sandbox) fn parse(text: &str) -> Option<Self> {
        let (signed, signature) = text.trim().rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok();
        Some(Self {
            header: serde_json::from_slice(&decoded(header)?).ok()?,
            claims: serde_json::from_slice(&decoded(claims)?).ok()?,
            signed: signed.to_owned(),
            signature: decoded(signature)?,
        })
    }

    /// A claim that is a string; empty if it is missing.
    pub(in crate::sandbox) fn claim(&self, name: &str) -> &str {
        self.claims[name].as_str().unwrap_or_default()
    }

    /// Whether the audience, one or several, is this one.
    pub(in crate::sandbox) fn is_for(&self, accepts: impl Fn(&str) -> bool) -> bool {
        match &self.claims["aud"] {
            Value::String(one) => accepts(one),
            Value::Array(all) => all.iter().filter_map(Value::as_str).any(accepts),
            _ => false,
        }
    }

    /// Whether the time is within the assertion's own bounds.
    pub(in crate::sandbox) fn is_valid_at(&self, now: Timestamp) -> bool {
        let now = now.as_second();
        let begun = self.claims["nbf"].as_i64().is_none_or(|begin| begin <= now);
        begun && self.claims["exp"].as_i64().is_some_and(|end| end > now)
    }

    /// Whether the key of a certificate (DER in base64) made the signature.
    pub(in crate::sandbox) fn is_signed_by(&self, certificate: &str) -> bool {
        self.verify(certificate).is_some()
    }

    fn verify(&self, certificate: &str) -> Option<()> {
        let algorithm: &'static RsaParameters = match self.header["alg"].as_str()? {
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            "PS256" => &RSA_PSS_2048_8192_SHA256,
            _ => return None,
        };
        let der = STANDARD.decode(certificate).ok()?;
        let (_, parsed) = X509Certificate::from_der(&der).ok()?;
        let key = UnparsedPublicKey::new(algorithm, &parsed.subject_pki.subject_public_key.data);
        key.verify(self.signed.as_bytes(), &self.signature).ok()
    }

    /// Whether the header names this certificate by its thumbprint, of either kind.
    pub(super) fn names(&self, certificate: &str) -> bool {
        let Ok(der) = STANDARD.decode(certificate) else { return false };
        let thumbprints = [("x5t", &SHA1_FOR_LEGACY_USE_ONLY), ("x5t#S256", &SHA256)];
        thumbprints.into_iter().any(|(field, algorithm)| {
            let named = self.header[field].as_str().map(|text| text.trim_end_matches('='));
            named == Some(URL_SAFE_NO_PAD.encode(digest(algorithm, &der)).as_str())
        })
    }
}
