//! Every kind of fault, for every service, during every command: it ends in time without a
//! panic, deletes no object that should stay, and reports nothing as done that was not
//! done.

use std::time::Duration;

use stargate::apply::ApplyStatus;
use stargate::cli::exit;
use stargate::plan::PlanStatus;
use stargate::provider::http::Api;
use tokio::time::Instant;

use crate::deployment::{Deployment, EXAMPLE, one_worker_more, removals};
use crate::fault::Fault;

/// How long a plan or an apply may take with one service broken, beside the waits that
/// the service asks for.
const MAX_TIME: Duration = Duration::from_secs(60);
/// A destroy continues with resources that do not depend on the broken service; this time
/// allows for two consecutive calls without a response.
const MAX_DESTROY_TIME: Duration = Duration::from_secs(2 * 60);
/// The most that a service asks for here in a plan or an apply that ends with its first
/// failure: 2 s, for as often as a call is repeated, in each phase of a read.
const ASKED_TIME: Duration = Duration::from_secs(2 * 6 * 3);

/// The most requests of a plan to a service that answers none of them: its lists and the
/// objects that are read by their ids, each with its retries.
const MAX_STRUCK: u64 = 400;

/// The most requests of lists without an end: up to 100 pages of each list.
const MAX_STRUCK_PAGES: u64 = 1_500;

/// The delay that the service asked for. A plan tries each list by itself, one after
/// another while the service asks for delays.
fn asked_time(fault: Fault, answers: u64) -> Duration {
    match fault {
        Fault::ThrottledForTwoSeconds | Fault::UnavailableForTwoSeconds => {
            ASKED_TIME.max(Duration::from_secs(2 * answers))
        }
        _ => ASKED_TIME,
    }
}

fn cases() -> impl Iterator<Item = (Api, Fault)> {
    Api::ALL.into_iter().flat_map(|api| {
        let kinds = Fault::IN_MEMORY.into_iter().filter(move |fault| fault.applies_to(api));
        kinds.map(move |fault| (api, fault))
    })
}

async fn applied() -> Deployment {
    let (sandbox, now) = Deployment::applied().await;
    Deployment::at(sandbox, EXAMPLE, now)
}

/// Shipped timeouts, in virtual time.
#[tokio::test(start_paused = true)]
async fn a_plan_ends_within_a_minute_without_deletions() {
    let mut failed = Vec::new();
    for (api, fault) in cases() {
        let deployment = applied().await;
        let before = deployment.objects();
        deployment.proxy.arm(api, fault);
        let start = Instant::now();
        let plan = deployment.plan(false).await.plan;
        let took = start.elapsed();
        let gaps: Vec<&str> = plan.gaps.iter().map(|gap| gap.failure.message.as_str()).collect();
        let mut wrong = Vec::new();
        let mut check = |holds: bool, what: String| wrong.extend((!holds).then_some(what));
        let struck = deployment.proxy.struck();
        let most = if fault == Fault::EndlessPages { MAX_STRUCK_PAGES } else { MAX_STRUCK };
        check(struck <= most, format!("it asked {struck} times"));
        let waited = asked_time(fault, struck);
        check(took <= MAX_TIME + waited, format!("it took {took:?}"));
        check(deployment.proxy.struck() > 0, "nothing was broken".to_owned());
        check(removals(&plan).is_empty(), format!("it removes {:?}", removals(&plan)));
        check(plan.status() == PlanStatus::Unknown, format!("it is {:?}", plan.status()));
        let code = exit::from_status(plan.status(), exit::CHANGES);
        check(code == exit::ERROR, format!("exit code {code}"));
        check(!gaps.is_empty(), "there is no gap".to_owned());
        check(deployment.objects() == before, "something changed".to_owned());
        if !wrong.is_empty() {
            failed.push(format!("{api} {fault:?}: {}; {gaps:?}", wrong.join(", ")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// One worker more is desired, and a service breaks once the plan is made.
#[tokio::test(start_paused = true)]
async fn an_apply_ends_without_deletions() {
    let text = one_worker_more();
    for (api, fault) in sample() {
        let (sandbox, now) = Deployment::applied().await;
        let deployment = Deployment::at(sandbox, &text, now);
        let before = deployment.objects();
        let planned = deployment.plan(false).await;
        let expected = planned.plan.changes.len();
        deployment.proxy.arm(api, fault);
        let start = Instant::now();
        let applied = deployment.apply(false, planned).await;
        let took = start.elapsed();
        let case = format!("{api} {fault:?}, {expected} changes, {:?}", applied.status);
        assert!(took <= MAX_TIME + ASKED_TIME, "{case}: {took:?}");
        assert_eq!(exit::from_apply(&applied), expected_exit(&applied.status), "{case}");
        assert!(deployment.proxy.struck() > 0, "{case}: nothing was broken");
        let after = deployment.objects();
        let removed: Vec<&String> = before.difference(&after).collect();
        assert_eq!(removed, Vec::<&String>::new(), "{case}");
        if applied.status == ApplyStatus::Converged {
            deployment.proxy.disarm();
            let left = deployment.plan(false).await.plan;
            assert!(left.is_empty(), "{case}");
        }
    }
}

/// Everything is deleted, and a service breaks before or after the plan is made: remaining
/// objects are always reported.
#[tokio::test(start_paused = true)]
async fn a_destroy_ends_and_never_claims_more_than_it_did() {
    for (index, (api, fault)) in sample().enumerate() {
        let deployment = applied().await;
        let breaks_first = index % 2 == 0;
        if breaks_first {
            deployment.proxy.arm(api, fault);
        }
        let planned = deployment.plan(true).await;
        deployment.proxy.arm(api, fault);
        let start = Instant::now();
        let applied = deployment.apply(true, planned).await;
        let took = start.elapsed();
        let case = format!("{api} {fault:?}, first: {breaks_first}, {:?}", applied.status);
        assert!(took <= MAX_DESTROY_TIME + ASKED_TIME, "{case}: {took:?}");
        assert_eq!(exit::from_apply(&applied), expected_exit(&applied.status), "{case}");
        assert!(deployment.proxy.struck() > 0, "{case}: nothing was broken");
        if applied.status == ApplyStatus::Converged {
            deployment.proxy.disarm();
            let left = deployment.plan(true).await.plan;
            assert!(left.is_empty(), "{case}: {:?}", removals(&left));
        }
    }
}

/// The documented exit code: every apply ends complete or is to be continued, since a
/// broken service changes nothing and forbids nothing.
fn expected_exit(status: &ApplyStatus) -> u8 {
    match status {
        ApplyStatus::Converged => 0,
        ApplyStatus::Partial(failure) if !failure.remedy.is_empty() => 3,
        other => panic!("{other:?}"),
    }
}

/// Every case, or each kind of fault for one service.
fn sample() -> impl Iterator<Item = (Api, Fault)> {
    let one_service = |(index, (api, fault)): (usize, (Api, Fault))| {
        let chosen = Api::ALL[(fault as usize) % 3];
        let service = if fault.applies_to(chosen) { chosen } else { Api::Azure };
        (crate::everything() || service == api).then_some((index, (api, fault)))
    };
    cases().enumerate().filter_map(one_service).map(|(_, case)| case)
}
