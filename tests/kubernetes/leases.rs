//! The Lease of an apply: who may create, renew and delete it.

use std::time::Duration;

use jiff::Timestamp;
use stargate::provider::cluster::{ClusterCause, ClusterError, LeaseClaim, LeaseRecord};

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;

const NAME: &str = "stargate-write-lab";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let client = &server.stargate_client;
    check_log.equals("there is no lease", client.lease(NAME).await, Ok(None));
    let created = write(server, "one", None).await;
    let Some(first) = check_log.succeeds("a lease is created", created) else { return };
    check_log.equals("it has its holder", first.holder.as_str(), "one");
    check_log.equals("it is read as written", client.lease(NAME).await, Ok(Some(first.clone())));
    let again = write(server, "two", None).await;
    check_log.equals("it is created once", cause(again), Some(ClusterCause::Conflict));
    let renewed = write(server, "one", Some(&first)).await;
    let Some(second) = check_log.succeeds("its holder renews it", renewed) else { return };
    check_log.equals("a renewal is visible", second == first, false);
    let late = write(server, "two", Some(&first)).await;
    check_log.equals(
        "a changed lease is not taken over",
        cause(late),
        Some(ClusterCause::Conflict),
    );
    let deleted = client.delete_lease(NAME, &first).await;
    check_log.equals("and not deleted", cause(deleted), Some(ClusterCause::Conflict));
    let taken = write(server, "two", Some(&second)).await;
    let Some(third) = check_log.succeeds("an unchanged lease is taken over", taken) else { return };
    check_log.equals("by its new holder", third.holder.as_str(), "two");
    check_log.equals("it is deleted", client.delete_lease(NAME, &third).await, Ok(()));
    check_log.equals("once", client.delete_lease(NAME, &third).await, Ok(()));
}

async fn write(
    server: &ApiServer,
    holder: &str,
    previous: Option<&LeaseRecord>,
) -> Result<LeaseRecord, ClusterError> {
    let (duration, now) = (Duration::from_secs(60), Timestamp::now());
    let claim = LeaseClaim {
        name: NAME,
        holder,
        duration,
        now,
        annotations: &Default::default(),
        previous,
    };
    server.stargate_client.write_lease(claim).await
}

fn cause<T>(outcome: Result<T, ClusterError>) -> Option<ClusterCause> {
    outcome.err().map(|error| error.cause)
}
