//! One list for all callers that need it at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;
use tokio::sync::Mutex;

use super::ClusterError;

/// A list that many tasks read at once, such as the certificate requests while many workers
/// join: each task needs one object of it. A task that requests it during a read shares the
/// next list with all other tasks that requested it since. No task gets a list that was
/// begun before its request.
#[derive(Debug, Default)]
pub(super) struct SharedList {
    begun: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    number: u64,
    objects: Arc<Vec<Value>>,
}

impl SharedList {
    pub(super) async fn get(
        &self,
        list: impl Future<Output = Result<Vec<Value>, ClusterError>>,
    ) -> Result<Arc<Vec<Value>>, ClusterError> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if last.number > begun {
            return Ok(Arc::clone(&last.objects));
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let objects = Arc::new(list.await?);
        *last = Last { number, objects: Arc::clone(&objects) };
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn callers_during_a_list_share_the_next() {
        let lists = AtomicU64::new(0);
        let shared = SharedList::default();
        let ask = || {
            shared.get(async {
                let number = lists.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                Ok(vec![json!(number)])
            })
        };
        let all = futures::future::try_join_all((0..10).map(|_| ask())).await.unwrap();
        let seen: Vec<u64> = all.iter().map(|list| list[0].as_u64().unwrap()).collect();
        assert_eq!(seen, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(*ask().await.unwrap(), [json!(2)], "it is not kept");
    }
}
