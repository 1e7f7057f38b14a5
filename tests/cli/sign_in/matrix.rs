//! Every method to sign in, with right, wrong, expiring and revoked credentials.

use std::cell::Cell;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use super::methods::{Method, write_azure_cli_token};
use super::service::{Environment, Running, Service, Timed, environment};

/// The time to the first line of a command.
const FIRST_LINE: Duration = Duration::from_secs(1);
/// The time to a clear failure.
const FAILURE: Duration = Duration::from_secs(15);

/// Calls a test for every method, side by side.
fn each(test: impl Fn(Method) + Sync) {
    thread::scope(|scope| {
        for method in Method::ALL {
            let test = &test;
            scope.spawn(move || test(method));
        }
    });
}

fn joined(one: &Environment, other: Environment) -> Environment {
    one.iter().cloned().chain(other).collect()
}

/// Asserts a failure in time with these words, and without a secret.
#[track_caller]
fn assert_fails(ran: &Timed, method: Method, words: [&str; 2]) {
    assert_eq!(ran.code, Some(1), "{method:?}: {}", ran.text);
    for word in words {
        assert!(ran.text.contains(word), "{method:?}: no `{word}` in: {}", ran.text);
    }
    assert!(ran.total <= FAILURE, "{method:?}: {:?}", ran.total);
    assert!(!ran.text.contains("sandbox~"), "{method:?}: {}", ran.text);
}

#[test]
fn a_right_credential_makes_a_plan_and_a_wrong_or_revoked_one_names_its_cause() {
    each(|method| {
        let service = Service::start(None);
        let right = method.register(&service);
        let ran = service.run("plan", &right);
        assert_eq!(ran.code, Some(0), "{method:?}: {}", ran.text);
        assert!(ran.text.contains("Plan: 54 to add"), "{method:?}: {}", ran.text);
        let (changed, words) = method.wrong(&service);
        let ran = service.run("plan", &joined(&right, changed));
        assert_fails(&ran, method, words);
        // The service issues other tokens to an identity whose tokens were revoked.
        if method != Method::AzureCli {
            service.identity("app --revoke-tokens");
            assert_eq!(service.run("plan", &right).code, Some(0), "{method:?}");
        }
        service.identity("app --disable");
        assert_fails(&service.run("plan", &right), method, method.disabled());
    });
}

/// The fastest of three attempts: other tests use the machine, too.
#[test]
fn the_first_line_comes_within_a_second() {
    let service = Service::start(None);
    let right = Method::Secret.register(&service);
    let wrong = joined(&right, Method::Secret.wrong(&service).0);
    for (variables, command) in [(&right, "plan"), (&wrong, "plan"), (&wrong, "apply --yes")] {
        let attempts = (0..3).map(|_| service.run(command, variables).first);
        let fastest = attempts.min().expect("an attempt");
        assert!(fastest <= FIRST_LINE, "{command}: {fastest:?}");
    }
}

/// Starts an apply and calls `each_half_second` every half second until an operation of Azure, which
/// takes ten seconds, has ended.
fn apply(
    service: &Service,
    variables: &Environment,
    each_half_second: impl Fn(Duration),
) -> Running {
    let apply = Running::start(service.command("apply --yes", variables));
    apply.wait_for("Applying", FAILURE);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(9) {
        each_half_second(begin.elapsed());
        thread::sleep(Duration::from_millis(500));
    }
    apply.wait_for("stargate-vnet created", FAILURE);
    apply
}

/// Asserts how often Azure granted a token at least, and whether it refused one.
#[track_caller]
fn assert_tokens(service: Service, method: Method, granted: usize, refused: bool) {
    let requests = service.stop();
    let is_token = |path: &str| path.ends_with("/token");
    let tokens = requests.iter().filter(|(_, path, status)| is_token(path) && *status == 200);
    // The Azure CLI has a cache of its own.
    assert!(method == Method::AzureCli || tokens.count() >= granted, "{method:?}: {requests:#?}");
    let is_refused = requests.iter().any(|(_, path, status)| !is_token(path) && *status == 401);
    assert_eq!(is_refused, refused, "{method:?}: {requests:#?}");
}

#[test]
fn an_apply_renews_its_tokens_before_they_expire() {
    each(|method| {
        let service = Service::start(Some(4));
        let right = method.register(&service);
        let identity = (method == Method::AzureCli).then(|| service.identity("app --secret"));
        let apply = apply(&service, &right, |_| {
            if let Some(identity) = &identity {
                write_azure_cli_token(&service, identity);
            }
        });
        drop(apply);
        assert_tokens(service, method, 2, false);
    });
}

#[test]
fn an_apply_replaces_a_revoked_token_and_ends_with_the_cause_when_its_identity_is_disabled() {
    each(|method| {
        let service = Service::start(None);
        let right = method.register(&service);
        let is_cli = method == Method::AzureCli;
        let identity = is_cli.then(|| service.identity("app --secret"));
        let revoked = Cell::new(false);
        let apply = apply(&service, &right, |elapsed| {
            if !revoked.get() && elapsed > Duration::from_secs(3) {
                service.identity("app --revoke-tokens");
                if let Some(identity) = &identity {
                    write_azure_cli_token(&service, identity);
                }
                revoked.set(true);
            }
        });
        service.identity("app --disable");
        apply.wait_for(if is_cli { "SG0602" } else { method.disabled()[0] }, FAILURE);
        drop(apply);
        assert_tokens(service, method, 2, true);
    });
}

#[test]
fn each_cause_of_a_refused_secret_has_its_remedy() {
    let service = Service::start(None);
    let right = Method::Secret.register(&service);
    for (name, value, words) in [
        (
            "AZURE_TENANT_ID",
            "11111111-2222-3333-4444-555555555555",
            ["AADSTS90002", "account show"],
        ),
        ("AZURE_CLIENT_ID", "unknown", ["AADSTS700016", "AZURE_CLIENT_ID"]),
    ] {
        let ran = service.run("plan", &joined(&right, environment(&[(name, value)])));
        assert_fails(&ran, Method::Secret, words);
    }
    let brief = service.identity("app --secret --secret-lifetime 0");
    let brief = brief["client_secret"].as_str().expect("a secret");
    let brief = joined(&right, environment(&[("AZURE_CLIENT_SECRET", brief)]));
    let ran = service.run("plan", &brief);
    assert_fails(&ran, Method::Secret, ["AADSTS7000222", "has expired"]);
}

#[test]
fn sign_in_services_that_do_not_answer_fail_in_time() {
    let service = Service::start(None);
    let right = Method::Secret.register(&service);
    // Connections are accepted by the system, and nothing answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("https://{}", silent.local_addr().expect("its address"));
    let machine = |host: &str| {
        environment(&[
            ("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential"),
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", host),
        ])
    };
    thread::scope(|scope| {
        for (variables, words) in [
            (environment(&[("AZURE_AUTHORITY_HOST", &silent)]), ["no answer from", "HTTPS_PROXY"]),
            (machine(&silent), ["no answer from", "run stargate on an Azure VM"]),
            (machine("http://127.0.0.1:1"), ["refused", "run stargate on an Azure VM"]),
        ] {
            let (service, right) = (&service, &right);
            scope.spawn(move || {
                let ran = service.run("plan", &joined(right, variables));
                assert_fails(&ran, Method::Secret, words);
            });
        }
    });
}

#[test]
fn everything_that_is_missing_is_reported_together_before_any_request() {
    let service = Service::start(None);
    let topology = service.folder.read("stargate.toml");
    let without: Vec<&str> =
        topology.lines().filter(|line| !line.starts_with("subscription")).collect();
    service.folder.write("stargate.toml", without.join("\n"));
    let missing = service.folder.path("missing.pem");
    std::fs::remove_dir_all(service.folder.path(".ssh")).expect("a folder");
    let variables = environment(&[
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_CLIENT_CERTIFICATE_PATH", &missing.to_string_lossy()),
        ("TAILSCALE_API_KEY", ""),
        ("KUBECONFIG", "missing-kubeconfig"),
    ]);
    let ran = service.run("plan", &variables);
    let words = ["AZURE_SUBSCRIPTION_ID", "AZURE_CLIENT_CERTIFICATE_PATH"];
    assert_fails(&ran, Method::Certificate, words);
    for part in ["TAILSCALE_API_KEY", "missing-kubeconfig", "ssh-keygen"] {
        assert!(ran.text.contains(part), "no {part} in: {}", ran.text);
    }
    let ran = service.run("plan --format github", &variables);
    let annotations = ran.text.matches("::error").count();
    assert!(annotations >= 5, "{annotations} in: {}", ran.text);
    assert_eq!(service.stop(), []);
}
