//! Which hosts are talked to.

use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, PublicKeyBase64, key::safe_rng};

use super::server::TestServer;
use super::{Home, behind, hello, new_key, target};
use crate::diagnostics::{Code, Failure};
use crate::provider::host::{HostError, HostTarget};
use crate::provider::ssh::host_keys::{HostKeyError, fingerprint};
use crate::provider::ssh::{Shell, SshError, SshShell};
use crate::resource::settings::HostKeyPolicy;

struct Case {
    home: Home,
    server: TestServer,
}

impl Case {
    async fn new() -> Self {
        let home = Home::new();
        let server = TestServer::start(&home.key).await;
        Self { home, server }
    }

    fn strict(&self) -> HostTarget {
        let host_keys = HostKeyPolicy::KnownHosts;
        HostTarget { host_keys, ..target("router", self.server.port) }
    }

    fn lenient(&self) -> HostTarget {
        target("router", self.server.port)
    }

    /// Connects anew, with whatever the files hold now.
    async fn connect(&self, host: &HostTarget) -> Result<(), HostKeyError> {
        let offered = self.server.log().offered.len();
        match SshShell::new(self.home.settings()).run(host, &hello()).await {
            Ok(_) => Ok(()),
            Err(SshError::HostKey(error)) => {
                assert_eq!(self.server.log().offered.len(), offered, "it was told who we are");
                Err(error)
            }
            Err(other) => panic!("{other}"),
        }
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.server.host_key.public_key().public_key_bytes())
    }
}

fn line(name: &str, key: &PrivateKey) -> String {
    format!("{name} {}\n", key.public_key().to_openssh().unwrap())
}

#[tokio::test]
async fn an_unknown_host_is_refused_where_keys_must_be_known() {
    let case = Case::new().await;
    let error = case.connect(&case.strict()).await.unwrap_err();
    assert!(matches!(error, HostKeyError::Unknown { .. }), "{error}");
    assert!(error.to_string().contains(&case.fingerprint()), "{error}");
    assert!(error.remedy().contains("accept-new"));
    assert!(!case.home.known_hosts().exists());
    let error = HostError::from(SshError::from(error));
    assert_eq!(Failure::from(&error).code, Code::HostKeyUntrusted);
}

#[tokio::test]
async fn a_first_key_is_noted_and_known_from_then_on() {
    let case = Case::new().await;
    case.connect(&case.lenient()).await.unwrap();
    let noted = std::fs::read_to_string(case.home.known_hosts()).unwrap();
    assert_eq!(noted.trim(), case.server.line("router").trim());
    case.connect(&case.strict()).await.unwrap();
    case.connect(&case.lenient()).await.unwrap();
    assert_eq!(std::fs::read_to_string(case.home.known_hosts()).unwrap(), noted);
}

#[tokio::test]
async fn a_changed_key_stops_that_host() {
    let case = Case::new().await;
    let old = new_key();
    case.home.write_known_hosts(&format!("# mine\n{}", line("router", &old)));
    for host in [case.strict(), case.lenient()] {
        let error = case.connect(&host).await.unwrap_err();
        assert!(matches!(error, HostKeyError::Changed { .. }), "{error}");
        let shown = error.to_string();
        let old = fingerprint(&old.public_key().public_key_bytes());
        let place = format!("{} line 2", case.home.known_hosts().display());
        for part in [&old, &case.fingerprint(), &place] {
            assert!(shown.contains(part), "{shown}");
        }
        let error = HostError::from(SshError::from(error));
        assert_eq!(Failure::from(&error).code, Code::HostKeyChanged);
        assert!(Failure::from(&error).remedy.contains(&place), "{}", Failure::from(&error).remedy);
    }
}

#[tokio::test]
async fn a_key_of_another_kind_is_a_changed_key() {
    let case = Case::new().await;
    let curve = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let old = PrivateKey::random(&mut safe_rng(), curve).unwrap();
    case.home.write_known_hosts(&line("router", &old));
    let error = case.connect(&case.lenient()).await.unwrap_err();
    assert!(matches!(error, HostKeyError::Changed { .. }), "{error}");
}

#[tokio::test]
async fn a_host_is_asked_for_the_kind_of_key_that_is_known() {
    let home = Home::new();
    let curve = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let known = PrivateKey::random(&mut safe_rng(), curve).unwrap();
    let keys = vec![new_key(), known.clone()];
    let server = TestServer::with(&home.key, |manners| manners.host_keys = keys).await;
    home.write_known_hosts(&line("router", &known));
    let case = Case { home, server };
    case.connect(&case.strict()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_key_is_never_taken() {
    let case = Case::new().await;
    let key = case.server.line("router");
    case.home.write_known_hosts(&format!("{key}@revoked * {}", key.trim_start_matches("router ")));
    let pinned = HostTarget {
        host_key: Some(case.server.host_key.public_key().to_openssh().unwrap()),
        ..case.lenient()
    };
    for host in [case.strict(), case.lenient(), pinned] {
        let error = case.connect(&host).await.unwrap_err();
        assert!(matches!(&error, HostKeyError::Revoked { place, .. } if place.ends_with("line 2")));
    }
}

#[tokio::test]
async fn a_pin_decides_alone() {
    let case = Case::new().await;
    case.home.write_known_hosts(&line("router", &new_key()));
    let key = case.server.host_key.public_key().to_openssh().unwrap();
    for pin in [format!("{key} comment"), case.fingerprint()] {
        case.connect(&HostTarget { host_key: Some(pin), ..case.strict() }).await.unwrap();
    }
    let other = Case::new().await;
    let wrong = new_key().public_key().to_openssh().unwrap();
    for pin in [wrong, format!("SHA256:{}", "A".repeat(43))] {
        let host = HostTarget { host_key: Some(pin), ..other.lenient() };
        let error = other.connect(&host).await.unwrap_err();
        assert!(matches!(&error, HostKeyError::Changed { place, .. } if place == "the topology"));
    }
    let host = HostTarget { host_key: Some("ssh-ed25519 AAAA".to_owned()), ..other.lenient() };
    let error = other.connect(&host).await.unwrap_err();
    assert!(matches!(error, HostKeyError::MalformedPin { .. }), "{error}");
    assert!(!other.home.known_hosts().exists());
}

#[tokio::test]
async fn a_host_is_known_by_name_address_and_from_the_machines_file() {
    for name in ["router", "[127.0.0.1]:PORT", "[router]:PORT", "rou*,!other", "x,router"] {
        let case = Case::new().await;
        let name = name.replace("PORT", &case.server.port.to_string());
        case.home.write_known_hosts(&case.server.line(&name));
        case.connect(&case.strict()).await.unwrap();
    }
    let case = Case::new().await;
    std::fs::write(case.home.path("machine"), case.server.line("router")).unwrap();
    case.connect(&case.strict()).await.unwrap();
}

#[tokio::test]
async fn an_address_behind_a_router_allows_and_does_not_refuse() {
    let home = Home::new();
    let router = TestServer::start(&home.key).await;
    let case = Case { server: TestServer::start(&home.key).await, home };
    let name = format!("[127.0.0.1]:{}", case.server.port);
    let worker = |host| behind(&target("jump", router.port), host);
    case.home.write_known_hosts(&line(&name, &new_key()));
    case.connect(&worker(case.lenient())).await.unwrap();
    let direct = case.connect(&target("other", case.server.port)).await;
    assert!(matches!(direct, Err(HostKeyError::Changed { .. })), "{direct:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_no_empty_files() {
    let case = Case::new().await;
    std::fs::create_dir_all(case.home.known_hosts()).unwrap();
    let error = case.connect(&case.lenient()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be looked up in"), "{error}");
    let case = Case::new().await;
    std::fs::write(case.home.path(".ssh"), "a file").unwrap();
    let error = case.connect(&case.lenient()).await.unwrap_err();
    assert!(matches!(error, HostKeyError::File { .. }), "{error}");
}

#[cfg(not(feature = "ssh-rsa"))]
#[tokio::test]
async fn a_host_known_by_an_rsa_key_alone_is_not_taken_for_a_new_one() {
    let case = Case::new().await;
    case.home.write_known_hosts("router ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQA=\n");
    let error = case.connect(&case.lenient()).await.unwrap_err();
    assert!(matches!(error, HostKeyError::Unsupported { .. }), "{error}");
    assert!(error.remedy().contains("ssh-rsa"));
}
