//! Waits for the long-running operations that Azure Resource Manager announces.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::client::{ArmClient, malformed, parse, parse_or_null};
use super::operation::{OperationProgress, OperationTracking, PollInterval};
use crate::provider::error::RequestError;
use crate::resource::ArmId;

/// How often a deleted object is read again before it counts as not deleted.
pub(super) const MAX_READS_AFTER_DELETE: u32 = 10;

impl ArmClient {
    pub(super) async fn result(
        &self,
        accepted: &http::Response<Bytes>,
        activity: &str,
    ) -> Result<Value, RequestError> {
        let mut pace = PollInterval::new();
        let tracking = OperationTracking::from_headers(accepted.headers());
        if let Some(url) = &tracking.status_url {
            self.follow_status(url, accepted.headers(), activity, &mut pace).await?;
        }
        match &tracking.result_url {
            Some(url) => {
                let last =
                    self.follow_location(url, accepted.headers(), activity, &mut pace).await?;
                parse_or_null(last.body(), activity)
            }
            None => Ok(Value::Null),
        }
    }

    /// Waits for the operation that an answer announces; false where it announces none.
    pub(super) async fn follow(
        &self,
        response: &http::Response<Bytes>,
        activity: &str,
        pace: &mut PollInterval,
    ) -> Result<bool, RequestError> {
        let tracking = OperationTracking::from_headers(response.headers());
        if let Some(url) = &tracking.status_url {
            self.follow_status(url, response.headers(), activity, pace).await?;
            return Ok(true);
        }
        match &tracking.result_url {
            // With 200 the work is done, even if there is a header.
            Some(url) if response.status() != StatusCode::OK => {
                self.follow_location(url, response.headers(), activity, pace).await?;
                Ok(true)
            }
            _ => Ok(response.status() != StatusCode::ACCEPTED),
        }
    }

    pub(super) async fn follow_status(
        &self,
        url: &str,
        first: &HeaderMap,
        activity: &str,
        pace: &mut PollInterval,
    ) -> Result<(), RequestError> {
        let mut headers = first.clone();
        loop {
            pace.wait(&headers, activity).await?;
            let response = self.call(self.tracked(url, activity)?).await?;
            // Azure forgets old operations; the object itself has the result.
            let Some(response) = self.unless_absent(response, activity)? else { return Ok(()) };
            let progress = if response.body().is_empty() {
                OperationProgress::of_location(&response)
            } else {
                OperationProgress::of_operation(&parse(response.body(), activity)?)
            };
            if progress.finished(activity)? {
                return Ok(());
            }
            headers = response.headers().clone();
        }
    }

    pub(super) async fn follow_location(
        &self,
        url: &str,
        first: &HeaderMap,
        activity: &str,
        pace: &mut PollInterval,
    ) -> Result<http::Response<Bytes>, RequestError> {
        let mut headers = first.clone();
        // A running operation may move; a finished one may still name a place.
        let mut place = url.to_owned();
        loop {
            pace.wait(&headers, activity).await?;
            let response = self.call(self.tracked(&place, activity)?).await?;
            let Some(response) = self.unless_absent(response, activity)? else {
                return Ok(http::Response::new(Bytes::new()));
            };
            if OperationProgress::of_location(&response).finished(activity)? {
                return Ok(response);
            }
            headers = response.headers().clone();
            if let Some(moved) = OperationTracking::from_headers(&headers).result_url {
                place = moved;
            }
        }
    }

    /// Polls the object until its provisioning has ended.
    pub(super) async fn wait_provisioned(
        &self,
        id: &ArmId,
        activity: &str,
        pace: &mut PollInterval,
    ) -> Result<Value, RequestError> {
        loop {
            let Some((body, headers)) = self.get_with_headers(id, activity).await? else {
                return Err(malformed(activity, "the object does not exist after the write"));
            };
            if OperationProgress::of_resource(&body).finished(activity)? {
                return Ok(body);
            }
            pace.wait(&headers, activity).await?;
        }
    }

    /// Reads the object until it is absent. Lists and caches lag behind, so an
    /// object that still exists is read a few more times. If no operation reported
    /// the end of the deletion, the object's absence is the only sign of it.
    pub(super) async fn wait_deleted(
        &self,
        id: &ArmId,
        activity: &str,
        pace: &mut PollInterval,
        ended: bool,
    ) -> Result<(), RequestError> {
        let mut reads = 0;
        while let Some((body, headers)) = self.get_with_headers(id, activity).await? {
            let progress = OperationProgress::of_resource(&body);
            if !ended {
                progress.finished(activity)?;
            } else if progress != OperationProgress::Running {
                // It may have been left in a failed state before the deletion.
                reads += 1;
            }
            if reads >= MAX_READS_AFTER_DELETE {
                return Err(malformed(activity, "the object still exists after its deletion"));
            }
            pace.wait(&headers, activity).await?;
        }
        Ok(())
    }
}
