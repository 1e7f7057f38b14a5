//! `stargate apply FILE`: which permissions of a saved plan count.

use super::apply::ApplyArguments;
use crate::cli::error::CliError;
use crate::cli::exit;
use crate::diagnostics::Code;
use crate::plan::PlanOptions;
use crate::plan::saved_plan::SavedPlan;

/// The options of the plan. Permissions of a saved plan count if its signature was
/// verified; otherwise the user must repeat them.
pub(super) fn options(
    arguments: &ApplyArguments,
    saved: Option<&SavedPlan>,
    is_signed: bool,
) -> Result<PlanOptions, CliError> {
    let mut options = PlanOptions {
        deep: arguments.deep,
        adopt: arguments.adopt.iter().cloned().collect(),
        adopt_from: arguments.adopt_from.clone(),
        replace: arguments.replace.iter().cloned().collect(),
        allow_loss: arguments.allow_loss,
        upgrade_patches: arguments.upgrade_patches,
        ..PlanOptions::default()
    };
    let Some(saved) = saved else { return Ok(options) };
    options.deep |= saved.plan.reads_worker_hosts();
    options.upgrade_patches |= saved.plan.settings.upgrade_patches;
    if is_signed {
        saved.permissions.add_to(&mut options);
        options.allow_loss |= saved.plan.reachability.loss_allowed;
    }
    let missing = saved.permissions.missing_from(&options);
    if missing.is_empty() { Ok(options) } else { Err(permission_missing(&missing.join(" "))) }
}

fn permission_missing(missing: &str) -> CliError {
    CliError::coded(
        Code::PlanPermission,
        format!("the plan was saved with `{missing}`, which an unsigned plan cannot permit"),
    )
    .remedy(format!("review the plan, then repeat the permission: `stargate apply {missing} FILE`"))
    .remedy("or set STARGATE_PLAN_KEY for `stargate plan --out` and `stargate apply`")
    .exit(exit::BLOCKED)
}
