use std::collections::VecDeque;

use super::*;
use crate::provider::host::HostAddress;
use crate::provider::retry::RetryingHosts;
use crate::provider::secret::Secret;
use crate::provider::ssh::{Exit, SshError};
use crate::resource::settings::HostKeyPolicy;

/// A shell that prints a given answer.
#[derive(Debug, Default)]
struct Reply {
    responses: Mutex<VecDeque<Result<RemoteOutput, SshError>>>,
    requested: Mutex<Vec<RemoteCommand>>,
    forgotten: Mutex<Vec<String>>,
}

impl Reply {
    fn to(responses: impl IntoIterator<Item = Result<RemoteOutput, SshError>>) -> Arc<Self> {
        Arc::new(Self { responses: Mutex::new(responses.into_iter().collect()), ..Self::default() })
    }

    fn times(&self) -> usize {
        self.requested.lock().unwrap().len()
    }
}

#[async_trait]
impl Shell for Reply {
    async fn run(
        &self,
        _target: &HostTarget,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, SshError> {
        self.requested.lock().unwrap().push(command.clone());
        self.responses.lock().unwrap().pop_front().unwrap()
    }

    fn forget(&self, hostname: &str) {
        self.forgotten.lock().unwrap().push(hostname.to_owned());
    }
}

fn target(hostname: &str) -> HostTarget {
    HostTarget {
        hostname: hostname.to_owned(),
        address: HostAddress::of_text("10.50.1.5"),
        port: 22,
        user: "ubuntu".to_owned(),
        jump: None,
        host_key: None,
        host_keys: HostKeyPolicy::AcceptNew,
    }
}

fn printed(stdout: &str, exit: u32) -> Result<RemoteOutput, SshError> {
    let stderr = if exit == 0 { Vec::new() } else { b"stargate: \x1b[2Jno\n".to_vec() };
    Ok(RemoteOutput { stdout: stdout.as_bytes().to_vec(), stderr, exit: Exit::Code(exit) })
}

fn away() -> Result<RemoteOutput, SshError> {
    Err(SshError::Unreachable {
        hostname: "dc1-w1".to_owned(),
        address: HostAddress::of_text("10.50.1.5"),
        port: 22,
        reason: "connection refused".to_owned(),
    })
}

fn hosts(shell: &Arc<Reply>) -> SshHosts {
    SshHosts::new(Arc::clone(shell) as Arc<dyn Shell>, "demo", None)
}

#[tokio::test]
async fn reports_malformed_answers() {
    let hostname = "ZGMxLXcyCg==";
    let other = format!("{{\"stargate-probe\":1,\"hostname\":\"{hostname}\"}}\n");
    let shell = Reply::to([printed("\x1b]0;x\x07 welcome", 0), printed(&other, 0), printed("", 1)]);
    let hosts = hosts(&shell);
    let host = target("dc1-w1");
    let mut errors = Vec::new();
    for _ in 0..3 {
        errors.push(hosts.probe_worker(&host).await.unwrap_err());
    }
    let [nonsense, other, failed] = errors.try_into().unwrap();
    assert!(nonsense.to_string().contains("probe the worker failed on dc1-w1: it did not answer"));
    assert!(!nonsense.to_string().contains(char::is_control), "{nonsense:?}");
    assert_eq!(other.to_string(), "the host at 10.50.1.5 has the name dc1-w2, not dc1-w1");
    assert!(other.is_refused());
    assert!(failed.to_string().ends_with("exit status 1: stargate: \\u{1b}[2Jno"), "{failed}");
    assert_eq!(shell.times(), 3);
}

#[tokio::test]
async fn a_change_is_meant_for_one_host_and_a_secret_is_no_argument() {
    let shell = Reply::to([printed("", 0), printed("", 0)]);
    let hosts = hosts(&shell);
    let join = RouterChange::JoinTailnet { auth_key: Secret::new("tskey-marked") };
    hosts.change_router(&target("DC1-router"), &join).await.unwrap();
    hosts.apply_worker_step(&target("dc1-w1"), &WorkerStep::Reset).await.unwrap();
    let requested = shell.requested.lock().unwrap();
    let sent = requested[0].prepare("ubuntu").unwrap();
    assert!(sent.line.starts_with("sudo -n -- ") && !sent.line.contains("marked"));
    assert!(sent.line.contains("only_on='\\''dc1-router'\\''"), "{}", sent.line);
    assert_eq!(&sent.stdin[..], b"tskey-marked");
    let sent = requested[1].prepare("root").unwrap();
    assert!(std::str::from_utf8(&sent.stdin).unwrap().starts_with("{ :\nonly_on='dc1-w1'\n"));
}

#[tokio::test(start_paused = true)]
async fn only_a_machine_that_was_just_made_is_waited_for() {
    let shell = Reply::to([away(), away(), away(), printed("", 0), away()]);
    let hosts = hosts(&shell);
    let step = WorkerStep::RemoveBootstrapKubeconfig;
    let refused = hosts.apply_worker_step(&target("dc1-w1"), &step).await.unwrap_err();
    assert!(matches!(refused, HostError::Unreachable { .. }), "{refused}");
    assert_eq!(shell.times(), 1);
    hosts.host_recreated("dc1-w1").await.unwrap();
    assert_eq!(*shell.forgotten.lock().unwrap(), ["dc1-w1"]);
    hosts.apply_worker_step(&target("dc1-w1"), &step).await.unwrap();
    assert_eq!(shell.times(), 4);
    // It has been there once, so it has booted.
    hosts.apply_worker_step(&target("dc1-w1"), &step).await.unwrap_err();
    assert_eq!(shell.times(), 5);
}

/// The next connection is refused with a changed key: the failure names the file.
#[tokio::test]
async fn a_recorded_key_that_stays_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    // A folder in the place of the file can be neither read nor replaced.
    let path = folder.path().join("known_hosts");
    std::fs::create_dir(&path).unwrap();
    let files = KnownHostFiles::new(path.clone(), Vec::new());
    let hosts = SshHosts::new(Reply::to([]), "lab", Some(files));
    let failure = hosts.host_recreated("dc1-w1").await.unwrap_err();
    assert_eq!(failure.code, Code::HostKeyChanged);
    for text in [&failure.message, &failure.remedy] {
        assert!(text.contains("dc1-w1") && text.contains(&*path.to_string_lossy()), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_boot_times_out() {
    let shell = Reply::to((0..200).map(|_| away()));
    let hosts = hosts(&shell);
    hosts.host_recreated("dc1-router").await.unwrap();
    let behind = HostTarget { jump: Some(Box::new(target("dc1-router"))), ..target("dc1-w1") };
    let began = Instant::now();
    hosts.apply_worker_step(&behind, &WorkerStep::Reset).await.unwrap_err();
    assert!((BOOT_TIMEOUT..BOOT_TIMEOUT + BOOT_POLL * 2).contains(&began.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn reconnects_without_repeating_failed_commands() {
    let lost = || {
        let (hostname, reason) = ("dc1-w1".to_owned(), "it closed the connection".to_owned());
        Err(SshError::Lost { hostname, reason })
    };
    let shell = Reply::to([lost(), lost(), printed("", 0), printed("", 1)]);
    let hosts = RetryingHosts::new(Arc::new(hosts(&shell)));
    hosts.apply_worker_step(&target("dc1-w1"), &WorkerStep::Kernel).await.unwrap();
    assert_eq!(shell.times(), 3);
    let failed = hosts.apply_worker_step(&target("dc1-w1"), &WorkerStep::Kernel).await;
    assert!(matches!(failed, Err(HostError::Failed { .. })), "{failed:?}");
    assert_eq!(shell.times(), 4);
}
