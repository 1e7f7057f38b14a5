//! A SOCKS5 client (RFC 1928 and 1929), for jobs with Tailscale in userspace mode.

use std::fmt;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use crate::provider::host::HostAddress;
use crate::provider::secret::Secret;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// A SOCKS5 proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocksProxy {
    /// The host name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// User name and password, if it requires them.
    pub login: Option<(String, Secret)>,
}

/// The address of a proxy is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; write `socks5://host:port`")]
pub struct NoProxy {
    /// The reason, without the address, which may contain a password.
    pub reason: String,
}

/// Why the proxy did not connect.
#[derive(Debug, thiserror::Error)]
pub enum SocksError {
    /// The connection to the proxy broke.
    #[error("the connection to the proxy broke: {0}")]
    Io(#[from] std::io::Error),
    /// It violates the protocol, or is no SOCKS5 proxy.
    #[error("the proxy does not speak SOCKS5: {0}")]
    Protocol(&'static str),
    /// It refused the login.
    #[error("the proxy refused the login")]
    Login,
    /// It could not connect to the host.
    #[error("the proxy answered: {0}")]
    Refused(&'static str),
    /// A name is too long for the protocol.
    #[error("the name or login is longer than 255 bytes")]
    TooLong,
}

impl SocksProxy {
    /// Parses `socks5://[user:password@]host[:port]`; `socks5h` is a synonym.
    ///
    /// # Errors
    ///
    /// The text is not the address of a SOCKS5 proxy.
    pub fn of_text(text: &str) -> Result<Self, NoProxy> {
        let wrong = |reason: String| NoProxy { reason };
        let url = Url::parse(text).map_err(|error| wrong(format!("no address: {error}")))?;
        if !matches!(url.scheme(), "socks5" | "socks5h") {
            return Err(wrong(format!("`{}` is not SOCKS5", url.scheme())));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("the host is missing".to_owned()))?;
        let login = (!url.username().is_empty())
            .then(|| (decoded(url.username()), Secret::new(decoded(url.password().unwrap_or("")))));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: url.port().unwrap_or(1080), login })
    }

    /// Requests a connection from the proxy at the other end of the stream.
    pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        address: &HostAddress,
        port: u16,
    ) -> Result<(), SocksError> {
        self.negotiate(stream).await?;
        let mut request = vec![VERSION, CONNECT, 0];
        match address {
            HostAddress::Ip(address) => {
                request.push(IPV4);
                request.extend(address.octets());
            }
            HostAddress::Name(name) => {
                // The proxy resolves names, which may be valid only in its network.
                request.push(DOMAIN);
                push_counted(&mut request, name.as_bytes())?;
            }
        }
        request.extend(port.to_be_bytes());
        stream.write_all(&request).await?;
        let [version, reply, _, kind] = read(stream).await?;
        check_version(version)?;
        if reply != 0 {
            return Err(SocksError::Refused(meaning(reply)));
        }
        // The proxy's own address is not needed but must be read.
        let length = match kind {
            IPV4 => 4,
            IPV6 => 16,
            DOMAIN => usize::from(read::<_, 1>(stream).await?[0]),
            _ => return Err(SocksError::Protocol("its response has an unknown kind of address")),
        };
        let mut rest = vec![0; length + 2];
        stream.read_exact(&mut rest).await?;
        Ok(())
    }

    async fn negotiate<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
    ) -> Result<(), SocksError> {
        let greeting: &[u8] = match self.login {
            None => &[VERSION, 1, NO_AUTHENTICATION],
            Some(_) => &[VERSION, 2, NO_AUTHENTICATION, PASSWORD],
        };
        stream.write_all(greeting).await?;
        let [version, method] = read(stream).await?;
        check_version(version)?;
        match (method, &self.login) {
            (NO_AUTHENTICATION, _) => Ok(()),
            (PASSWORD, Some((user, password))) => {
                let mut request = vec![1];
                push_counted(&mut request, user.as_bytes())?;
                push_counted(&mut request, password.expose().as_bytes())?;
                stream.write_all(&request).await?;
                match read(stream).await? {
                    [_, 0] => Ok(()),
                    _ => Err(SocksError::Login),
                }
            }
            (NO_ACCEPTABLE_METHOD, _) => Err(SocksError::Login),
            _ => Err(SocksError::Protocol("it chose a login method that was not offered")),
        }
    }
}

impl fmt::Display for SocksProxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} port {}", self.host, self.port)
    }
}

async fn read<S: AsyncRead + Unpin, const LENGTH: usize>(
    stream: &mut S,
) -> Result<[u8; LENGTH], SocksError> {
    let mut bytes = [0; LENGTH];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn check_version(version: u8) -> Result<(), SocksError> {
    match version {
        VERSION => Ok(()),
        _ => Err(SocksError::Protocol("its response has another version")),
    }
}

fn push_counted(request: &mut Vec<u8>, bytes: &[u8]) -> Result<(), SocksError> {
    let length = u8::try_from(bytes.len()).map_err(|_| SocksError::TooLong)?;
    request.push(length);
    request.extend(bytes);
    Ok(())
}

fn meaning(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown error",
    }
}

/// Decodes percent-encoding, such as `%41`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| byte == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn the_address_of_a_proxy_is_parsed() {
        let plain = SocksProxy::of_text("socks5://localhost:1055").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.login), ("localhost", 1055, None));
        let full = SocksProxy::of_text("socks5h://us%40er:p%3Ass@[::1]").unwrap();
        assert_eq!((full.host.as_str(), full.port), ("::1", 1080));
        assert_eq!(full.login, Some(("us@er".to_owned(), Secret::new("p:ss"))));
        assert!(!format!("{full:?}{full}").contains("p:ss"));
        for wrong in ["http://marked:marked@host:1", "socks5://", "host:1", ""] {
            let error = SocksProxy::of_text(wrong).unwrap_err().to_string();
            assert!(!error.contains("marked"), "{error}");
        }
    }

    /// Connects with a proxy that sends `responses`; returns the bytes that it received.
    async fn connect_with_responses(
        proxy: &SocksProxy,
        address: &HostAddress,
        responses: &[u8],
    ) -> (Result<(), SocksError>, Vec<u8>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(responses).await.unwrap();
        let outcome = proxy.connect(&mut ours, address, 22).await;
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        (outcome, sent)
    }

    #[tokio::test]
    async fn names_are_resolved_by_the_proxy_and_the_login_is_sent() {
        let proxy = SocksProxy::of_text("socks5://me:pw@proxy").unwrap();
        let name = HostAddress::of_text("dc1");
        let responses = [5, 2, 1, 0, 5, 0, 0, 3, 2, b'x', b'y', 0, 1];
        let (outcome, sent) = connect_with_responses(&proxy, &name, &responses).await;
        outcome.unwrap();
        let expected =
            [&[5, 2, 0, 2, 1, 2][..], b"me", &[2], b"pw", &[5, 1, 0, 3, 3], b"dc1", &[0, 22]];
        assert_eq!(sent, expected.concat());
    }

    #[tokio::test]
    async fn addresses_are_sent_and_refusals_reported() {
        let proxy = SocksProxy::of_text("socks5://proxy").unwrap();
        let address = HostAddress::Ip(Ipv4Addr::new(100, 64, 0, 7));
        let (outcome, sent) =
            connect_with_responses(&proxy, &address, &[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        assert_eq!(sent, [5, 1, 0, 5, 1, 0, 1, 100, 64, 0, 7, 0, 22]);
        assert!(outcome.unwrap_err().to_string().contains("connection refused"));
    }

    #[tokio::test]
    async fn protocol_violations_are_reported() {
        let proxy = SocksProxy::of_text("socks5://me:pw@proxy").unwrap();
        let name = HostAddress::of_text("dc1");
        for (responses, expected) in [
            (&b"HTTP/1.1 400"[..], "does not speak SOCKS5"),
            (&[5, 0xff], "refused the login"),
            (&[5, 2, 1, 1], "refused the login"),
            (&[5, 7], "does not speak SOCKS5"),
            (&[5, 0, 5, 0, 0, 9], "does not speak SOCKS5"),
        ] {
            let rendered =
                connect_with_responses(&proxy, &name, responses).await.0.unwrap_err().to_string();
            assert!(rendered.contains(expected), "{rendered}");
        }
        let long = HostAddress::Name("x".repeat(256));
        assert!(matches!(
            connect_with_responses(&proxy, &long, &[5, 0]).await.0,
            Err(SocksError::TooLong)
        ));
    }
}
