//! The proxy of the machine's environment, as other tools take it from there:
//! `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in either case.
//!
//! The clients of Azure and Tailscale have it from reqwest. The client of the cluster
//! takes it from here: kube compares `NO_PROXY` with the address of the proxy instead of
//! the server's, and does not read `ALL_PROXY`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::Url;

/// The proxies of the environment.
#[derive(Debug)]
pub struct Proxies(Matcher);

impl Proxies {
    /// Reads the variables of the process.
    pub fn of_environment() -> Self {
        Self(Matcher::from_env())
    }

    /// One proxy for all servers but those in `exceptions`, in the syntax of `NO_PROXY`.
    #[cfg(test)]
    pub(crate) fn through(proxy: &str, exceptions: &str) -> Self {
        Self(Matcher::builder().all(proxy.to_owned()).no(exceptions.to_owned()).build())
    }

    /// The proxy for a server, with its user and password. A server on this machine is
    /// never behind one.
    ///
    /// # Errors
    ///
    /// The client of the cluster cannot use the proxy.
    pub(crate) fn for_server(&self, server: &Uri) -> Result<Option<Uri>, UnusableProxy> {
        let proxy = match self.0.intercept(server) {
            Some(proxy) if !is_loopback(server) => proxy,
            _ => return Ok(None),
        };
        let mut url = parse(&proxy.uri().to_string())?;
        if let Some((user, password)) = login(&proxy) {
            // Neither is refused for a URL with a host, which every proxy has.
            let _ = url.set_username(&user);
            let _ =
                url.set_password(Some(&password).filter(|it| !it.is_empty()).map(String::as_str));
        }
        as_uri(&url).map(Some)
    }
}

/// A proxy that the client of the cluster cannot use. Its text has no login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableProxy {
    /// It is no URL.
    #[error("the address of the proxy is no URL: set it as in `http://proxy.example:3128`")]
    NoUrl,
    /// Its kind is not supported.
    #[error("proxies of the kind `{0}` are not supported: use `http`, `https` or `socks5`")]
    Kind(String),
}

/// Reads the address of a proxy.
///
/// # Errors
///
/// The client of the cluster cannot use the proxy.
pub(super) fn of_text(text: &str) -> Result<Uri, UnusableProxy> {
    as_uri(&parse(text)?)
}

fn parse(text: &str) -> Result<Url, UnusableProxy> {
    Url::parse(text).ok().filter(Url::has_host).ok_or(UnusableProxy::NoUrl)
}

/// kube knows one of the two spellings of a SOCKS5 proxy that resolves names itself.
fn as_uri(url: &Url) -> Result<Uri, UnusableProxy> {
    let text = match (url.scheme(), url.as_str().strip_prefix("socks5h:")) {
        ("http" | "https" | "socks5", _) => url.to_string(),
        (_, Some(rest)) => format!("socks5:{rest}"),
        (other, None) => return Err(UnusableProxy::Kind(other.to_owned())),
    };
    text.parse().map_err(|_| UnusableProxy::NoUrl)
}

/// Whether a server is on this machine.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a server is on the link of this machine, as the metadata service of a VM and the
/// identity service of App Service are.
pub(super) fn is_link_local(uri: &Uri) -> bool {
    let address = uri.host().unwrap_or_default().parse::<std::net::Ipv4Addr>();
    address.is_ok_and(|address| address.is_link_local())
}

/// The user and the password, which the matcher takes out of the address.
fn login(proxy: &Intercept) -> Option<(String, String)> {
    if let Some((user, password)) = proxy.raw_auth() {
        return Some((user.to_owned(), password.to_owned()));
    }
    let basic = proxy.basic_auth()?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(basic).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(proxy: &str, exceptions: &str, server: &str) -> Option<String> {
        let server = server.parse().unwrap();
        let found = Proxies::through(proxy, exceptions).for_server(&server).unwrap();
        found.map(|uri| uri.to_string())
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_without_its_login() {
        let server = "https://api.example".parse().unwrap();
        for kind in ["socks4", "socks4a"] {
            let proxies = Proxies::through(&format!("{kind}://u:marked@p:1"), "");
            let error = proxies.for_server(&server).unwrap_err();
            assert_eq!(error, UnusableProxy::Kind(kind.to_owned()));
            assert!(!error.to_string().contains("marked"), "{error}");
        }
        for text in ["", "proxy", "http://", "ftp://u:marked@p", "socks5:"] {
            let error = of_text(text).unwrap_err();
            assert!(!error.to_string().contains("marked"), "{error}");
        }
    }

    #[test]
    fn the_exceptions_are_about_the_server() {
        let through = |server| proxy("http://proxy.corp:3128", "corp,10.0.0.0/8", server);
        assert_eq!(through("https://api.example").as_deref(), Some("http://proxy.corp:3128/"));
        assert_eq!(through("https://api.corp:443"), None);
        assert_eq!(through("https://10.1.2.3:6443"), None);
    }

    #[test]
    fn a_server_on_this_machine_is_not_behind_a_proxy() {
        for server in ["https://127.0.0.1:6443", "https://localhost", "https://[::1]:6443"] {
            assert_eq!(proxy("http://p:1", "", server), None, "{server}");
        }
    }

    #[test]
    fn login_and_kind_of_the_proxy_are_kept() {
        let server = "https://api.example";
        for (given, taken) in [
            ("http://jane:p%40ss%3A@p:1", "http://jane:p%40ss%3A@p:1/"),
            ("https://jane@p:1", "https://jane@p:1/"),
            ("socks5://jane:secret@p:1", "socks5://jane:secret@p:1"),
            ("socks5h://p:1", "socks5://p:1"),
        ] {
            let found = proxy(given, "", server).unwrap();
            assert_eq!(found.trim_end_matches('/'), taken.trim_end_matches('/'));
        }
    }
}
