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

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const SUBJECT: &str = "system:serviceaccount:ci:stargate";
/// The authorization of a job.
pub(crate) const JOB: &str = "of-the-job";

const KEY: &[u8] = include_bytes!("../../certificates/other.pem");

/// The audience of a token that Microsoft Entra ID exchanges.
pub(crate) const ENTRA_AUDIENCE: &str = "api://AzureADTokenExchange";

/// A signed token, which Microsoft Entra ID exchanges.
pub(crate) fn token(subject: &str) -> String {
    token_for(ENTRA_AUDIENCE, subject)
}

/// A signed token for an audience.
pub(crate) fn token_for(audience: &str, subject: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({ "iss": ISSUER, "sub": subject, "aud": audience, "exp": now + 600 });
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
pub(crate) fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/token?job=1", listener.local_addr().expect("its address"));
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            answer(connection);
        }
    });
    url
}

/// The audience in the query of a request; a job of Azure Pipelines cannot choose one.
fn requested_audience(head: &str) -> String {
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let found = pairs.find(|(name, _)| name == "audience");
    found.map_or_else(|| ENTRA_AUDIENCE.to_owned(), |(_, audience)| audience.into_owned())
}

fn answer(mut connection: TcpStream) {
    let mut reader = BufReader::new(connection.try_clone().expect("a clone").take(1 << 16));
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|length| length > 2) {}
    let is_job = head.to_ascii_lowercase().contains(&format!("authorization: bearer {JOB}\r"));
    let (status, body) = match is_job {
        // GitHub Actions and Azure Pipelines name the field differently.
        true => {
            let token = token_for(&requested_audience(&head), SUBJECT);
            ("200 OK", json!({ "value": token, "oidcToken": token }))
        }
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
