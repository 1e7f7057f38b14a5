//! An issuer of tokens: signs them, and hands them out as the services of CI jobs do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;

pub(super) const ISSUER: &str = "https://issuer.example";
pub(super) const SUBJECT: &str = "system:serviceaccount:ci:stargate";
/// The authorization of a job.
pub(super) const JOB: &str = "of-the-job";

const KEY: &[u8] = include_bytes!("../../certificates/other.pem");

/// A signed token, which Microsoft Entra ID exchanges.
pub(super) fn token(subject: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({
        "iss": ISSUER, "sub": subject, "aud": "api://AzureADTokenExchange", "exp": now + 600,
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "RS256" })), part(&claims));
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY).expect("a key");
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).expect("an RSA key");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Serves tokens to jobs until the tests end, and returns its URL.
pub(super) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token?job=1", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            answer(connection);
        }
    });
    url
}

fn answer(mut connection: TcpStream) {
    let mut reader = BufReader::new(connection.try_clone().expect("a clone").take(1 << 16));
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    let is_job = head.to_ascii_lowercase().contains(&format!("authorization: bearer {JOB}\r"));
    let (status, body) = match is_job {
        // GitHub Actions and Azure Pipelines name the field differently.
        true => ("200 OK", json!({ "value": token(SUBJECT), "oidcToken": token(SUBJECT) })),
        false => ("403 Forbidden", json!({ "message": "not this job" })),
    };
    let body = body.to_string();
    // The client may be gone.
    let _ = write!(
        connection,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
}
