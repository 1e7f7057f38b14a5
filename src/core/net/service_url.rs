//! The URLs of services that requests with credentials go to.

use url::{Host, Url};

/// Why a text is not the URL of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceUrlError {
    /// It cannot be parsed, or its scheme is another one.
    #[error("it does not begin with `https://` and a host")]
    NoUrl,
    /// Credentials would be sent in clear text over a network.
    #[error("`http://` is accepted for loopback addresses only")]
    Plain,
    /// It has a part that a request replaces or would lose.
    #[error("it has a user, a path, a query or a fragment")]
    Parts,
}

/// Parses the URL of a service, which has no path, and returns it without a trailing slash.
///
/// # Errors
///
/// It is no such URL.
pub fn parse(text: &str) -> Result<String, ServiceUrlError> {
    let url = Url::parse(text).map_err(|_| ServiceUrlError::NoUrl)?;
    check_transport(&url)?;
    let has_login = !url.username().is_empty() || url.password().is_some();
    let has_rest = !matches!(url.path(), "" | "/") || url.query().is_some();
    if has_login || has_rest || url.fragment().is_some() {
        return Err(ServiceUrlError::Parts);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Checks that credentials can be sent to a URL: encrypted, or within this machine.
///
/// # Errors
///
/// They would be sent in clear text, or the scheme is not HTTP.
pub fn check_transport(url: &Url) -> Result<(), ServiceUrlError> {
    let is_loopback = match url.host().ok_or(ServiceUrlError::NoUrl)? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        "http" => Err(ServiceUrlError::Plain),
        _ => Err(ServiceUrlError::NoUrl),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_services_are_origins() {
        for (text, expected) in [
            ("https://management.azure.com", Ok("https://management.azure.com")),
            ("https://login.example:8443/", Ok("https://login.example:8443")),
            ("http://127.0.0.1:8080", Ok("http://127.0.0.1:8080")),
            ("http://localhost:1/", Ok("http://localhost:1")),
            ("http://[::1]:1", Ok("http://[::1]:1")),
            ("http://login.example", Err(ServiceUrlError::Plain)),
            ("http://localhost.example", Err(ServiceUrlError::Plain)),
            ("login.example", Err(ServiceUrlError::NoUrl)),
            ("ftp://login.example", Err(ServiceUrlError::NoUrl)),
            ("https://", Err(ServiceUrlError::NoUrl)),
            ("", Err(ServiceUrlError::NoUrl)),
            ("https://me@login.example", Err(ServiceUrlError::Parts)),
            ("https://login.example/api/v2", Err(ServiceUrlError::Parts)),
            ("https://login.example?x", Err(ServiceUrlError::Parts)),
            ("https://login.example#x", Err(ServiceUrlError::Parts)),
        ] {
            assert_eq!(parse(text), expected.map(str::to_owned), "{text}");
        }
    }
}
