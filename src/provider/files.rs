//! Files of the user: certificates, tokens and keys.

use std::io::{Error, ErrorKind};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Why a text file cannot be used, as a clause about it. The standard library speaks of a
/// stream where a file has bytes that are no text.
pub fn unreadable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

/// Checks a file with the certificates that are trusted, in PEM.
///
/// # Errors
///
/// It cannot be read, or contains no certificate: why, as a clause about it. Without this
/// check no certificate is trusted, and the error names no file.
pub fn check_certificates(path: &Path) -> Result<(), String> {
    let content = std::fs::read(path).map_err(|error| unreadable(&error))?;
    let mut certificates = CertificateDer::pem_slice_iter(&content);
    match certificates.any(|certificate| certificate.is_ok()) {
        true => Ok(()),
        false => Err("contains no certificate in PEM".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_certificates_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert!(check_certificates(&file).unwrap_err().starts_with("cannot be read: "));
        for content in ["", "text", "-----BEGIN CERTIFICATE-----\n?"] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(check_certificates(&file), Err("contains no certificate in PEM".to_owned()));
        }
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert_eq!(check_certificates(&file), Ok(()));
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, [0xff, 0xfe]).unwrap();
        let error = std::fs::read_to_string(&file).unwrap_err();
        assert_eq!(unreadable(&error), "is not UTF-8 text");
    }
}
