//! Management locks on what an apply changes.

use super::types::{Check, CheckArea, ReadinessInput, id_of};
use crate::diagnostics::{Code, counted};
use crate::inventory::subscription::{ManagementLock, is_in_scope};

const NAME: &str = "locks";

pub(super) fn check(input: ReadinessInput<'_>) -> Check {
    let locks = match &input.readiness.subscription.locks {
        Ok(locks) => locks,
        Err(failure) => return Check::unknown(CheckArea::Azure, NAME, failure.clone()),
    };
    let gaps = locks.iter().filter_map(|lock| lock.as_ref().err()).cloned().collect();
    let known = locks.iter().filter_map(|lock| lock.as_ref().ok());
    let locks: Vec<&ManagementLock> = known.filter(|lock| concerns(input, lock)).collect();
    let summary = match locks.len() {
        0 => "none on what the topology owns".to_owned(),
        count => counted(count, "lock"),
    };
    let mut check = Check { gaps, ..Check::passed(CheckArea::Azure, NAME, summary) };
    for lock in locks {
        let ManagementLock { name, scope, .. } = lock;
        let id = format!("{scope}/providers/Microsoft.Authorization/locks/{name}");
        let remedy = format!("remove the lock (`az lock delete --ids '{id}'`), or ask its owner");
        match lock.is_read_only {
            true => check.error(
                Code::ManagementLock,
                format!("the lock {name} makes {scope} read-only"),
                remedy,
            ),
            false => check.warning(
                Code::ManagementLock,
                format!("the lock {name} forbids deletions in {scope}, so that replacements fail"),
                remedy,
            ),
        }
    }
    check
}

/// Whether a lock covers a resource of the topology or a part of one.
fn concerns(input: ReadinessInput<'_>, lock: &ManagementLock) -> bool {
    let mut ids = input.desired().iter().filter_map(id_of);
    is_in_scope(input.subscription, &lock.scope)
        || ids.any(|id| {
            is_in_scope(id.as_str(), &lock.scope) || is_in_scope(&lock.scope, id.as_str())
        })
}
