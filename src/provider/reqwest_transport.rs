//! The wire itself: HTTP over TCP and TLS.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use super::http::{Transport, TransportError, TransportFault};
use super::proxy::{is_link_local, is_loopback};
use super::response_body::BodyCollector;
use super::settings::ClientSettings;
use crate::diagnostics::ServiceText;

/// Sends requests over the network.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    /// Takes a proxy from the environment, as tools behind one expect.
    outside: reqwest::Client,
    /// Never uses a proxy: a server on this machine or its link is not behind one.
    direct: reqwest::Client,
    settings: ClientSettings,
}

/// The transport cannot be set up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct TransportSetupError(pub String);

/// Makes ring the process's cryptography. Doing it again changes nothing.
pub fn install_cryptography() {
    // It fails only if a provider is installed already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
}

impl ReqwestTransport {
    /// Sets up a transport that trusts the machine's certificates and, where
    /// given, those in `extra_roots` (PEM).
    ///
    /// # Errors
    ///
    /// The certificates cannot be read.
    pub fn new(extra_roots: Option<&str>) -> Result<Self, TransportSetupError> {
        Self::with_settings(extra_roots, ClientSettings::default())
    }

    /// The same with other timeouts and limits.
    ///
    /// # Errors
    ///
    /// The certificates cannot be read.
    pub fn with_settings(
        extra_roots: Option<&str>,
        settings: ClientSettings,
    ) -> Result<Self, TransportSetupError> {
        install_cryptography();
        let builder = || reqwest::Client::builder().connect_timeout(settings.connect_timeout);
        let outside = client(builder(), extra_roots)?;
        let direct = client(builder().no_proxy(), extra_roots)?;
        Ok(Self { outside, direct, settings })
    }

    fn client_for(&self, uri: &http::Uri) -> &reqwest::Client {
        if is_direct(uri) { &self.direct } else { &self.outside }
    }
}

/// Services on the link give this machine its identity: a proxy would get that of its own
/// machine, or read this one's.
fn is_direct(uri: &http::Uri) -> bool {
    is_loopback(uri) || is_link_local(uri)
}

fn client(
    builder: reqwest::ClientBuilder,
    extra_roots: Option<&str>,
) -> Result<reqwest::Client, TransportSetupError> {
    let broken =
        |error: reqwest::Error| TransportSetupError(TransportFault::lost(&error).to_string());
    let mut builder = builder
        // A redirect would carry a token to where it was not meant to go.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("stargate/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = extra_roots {
        let roots = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).map_err(broken)?;
        builder = builder.tls_certs_merge(roots);
    }
    builder.build().map_err(broken)
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let uri = request.uri().clone();
        let method = request.method().clone();
        let started = Instant::now();
        let response = send_and_receive(self.client_for(&uri), request, &self.settings).await;
        // Path only: a query can hold a signature, headers and bodies secrets.
        let status = response.as_ref().ok().map(|response| response.status().as_u16());
        tracing::debug!(
            %method,
            host = uri.host().unwrap_or_default(),
            path = uri.path(),
            status,
            milliseconds = started.elapsed().as_millis(),
            "request"
        );
        response.map_err(|fault| TransportError {
            host: uri.authority().map(ToString::to_string).unwrap_or_default(),
            fault,
        })
    }
}

async fn send_and_receive(
    client: &reqwest::Client,
    request: http::Request<Bytes>,
    settings: &ClientSettings,
) -> Result<http::Response<Bytes>, TransportFault> {
    let (parts, body) = request.into_parts();
    let idle = settings.idle_timeout_of(&parts.method);
    let sent = client
        .request(parts.method, parts.uri.to_string())
        .headers(parts.headers)
        .body(body)
        .send();
    let mut received = within(idle, sent).await?;
    let mut response = http::Response::new(());
    *response.status_mut() = received.status();
    *response.headers_mut() = std::mem::take(received.headers_mut());
    // Chunks arrive decompressed: the limit applies to the decompressed size, and the
    // compressed form is not kept.
    let mut body = BodyCollector::new(settings.max_body_bytes);
    while let Some(chunk) = within(idle, received.chunk()).await? {
        body.push(chunk)?;
    }
    Ok(response.map(|()| body.finish()))
}

/// A step of an exchange, in which a byte must come in time.
async fn within<T>(
    idle: Duration,
    step: impl Future<Output = reqwest::Result<T>>,
) -> Result<T, TransportFault> {
    match tokio::time::timeout(idle, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.is_builder() => {
            let reason = ServiceText::message(&error.without_url().to_string());
            Err(TransportFault::BadRequest { reason })
        }
        Ok(Err(error)) => Err(TransportFault::lost(&error.without_url())),
        Err(_) => Err(TransportFault::idle(idle)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn servers_on_this_machine_and_its_link_are_reached_directly() {
        for (uri, expected) in [
            ("http://127.0.0.1:8080/x", true),
            ("http://[::1]:8080/x", true),
            ("https://LOCALHOST/x", true),
            ("http://169.254.169.254/metadata", true),
            ("http://169.254.130.2:8081/msi/token", true),
            ("http://169.255.0.1/metadata", false),
            ("https://management.azure.com/x", false),
        ] {
            assert_eq!(is_direct(&uri.parse().unwrap()), expected, "{uri}");
        }
    }

    #[tokio::test]
    async fn an_answer_comes_back_whole_and_silence_is_an_error() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(connection.read_buf(&mut request).await.unwrap(), 0);
            }
            let head = "HTTP/1.1 409 Conflict\r\nx-marked: yes\r\ncontent-length: 4\r\n\r\n";
            connection.write_all(format!("{head}body").as_bytes()).await.unwrap();
        });
        let transport = ReqwestTransport::new(None).unwrap();
        let request = || http::Request::get(format!("http://{address}/x")).body(Bytes::new());
        let response = transport.send(request().unwrap()).await.unwrap();
        assert_eq!(response.status(), http::StatusCode::CONFLICT);
        assert_eq!(response.headers()["x-marked"], "yes");
        assert_eq!(response.body().as_ref(), b"body");
        server.await.unwrap();
        let silent = http::Request::get("http://127.0.0.1:1/x").body(Bytes::new()).unwrap();
        let error = transport.send(silent).await.unwrap_err();
        assert_eq!(error.host, "127.0.0.1:1");
        assert!(matches!(error.fault, TransportFault::Refused { .. }), "{error:?}");
    }

    #[derive(Clone, Default)]
    struct Captured(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn the_trace_shows_the_request_and_no_secret() {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let transport = ReqwestTransport::new(None).unwrap();
        let mut text = String::new();
        // A concurrent test may just have found that nothing listens.
        for _ in 0..10 {
            let request = http::Request::post("http://127.0.0.1:1/path?s=marked")
                .header("authorization", "Bearer marked")
                .body(Bytes::from("marked"))
                .unwrap();
            let error = transport.send(request).await.unwrap_err();
            assert!(!error.to_string().contains("marked"), "{error}");
            text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            if text.contains("/path") {
                break;
            }
            tracing::callsite::rebuild_interest_cache();
        }
        drop(guard);
        assert!(text.contains("/path"), "{text}");
        assert!(!text.contains("marked"), "{text}");
    }
}
