//! Downloading packages ahead of a join.

use super::error::JoinError;
use super::join::JoinRun;
use super::step::JoinStep;
use super::{JoinContext, Progress};

/// Downloads the packages that a worker lacks, if it is the expected host. Nothing on it
/// restarts, so that this may be done ahead of its turn; the join checks it again.
///
/// # Errors
///
/// The host is another one, or the packages cannot be downloaded.
pub async fn stage_packages(
    context: &JoinContext<'_>,
    progress: &Progress<'_>,
) -> Result<(), JoinError> {
    let mut run = JoinRun::begin(context, progress, None).await?;
    for step in JoinStep::AHEAD {
        run.step(step).await?;
    }
    Ok(())
}
