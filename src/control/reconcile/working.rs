//! Actions that are under way: each a task of its own, none of them ever forgotten.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::timeout;

use crate::domain::id::InstanceId;

/// How long actions may take to finish when the appliance stops. What is left then is a step that can
/// be repeated.
const DRAIN: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Working {
    /// Each says whether it succeeded.
    tasks: JoinSet<bool>,
    whose: HashMap<Id, InstanceId>,
    busy: HashSet<InstanceId>,
}

impl Working {
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn busy(&self) -> &HashSet<InstanceId> {
        &self.busy
    }

    pub(super) fn start(
        &mut self,
        instance: InstanceId,
        action: impl Future<Output = bool> + Send + 'static,
    ) {
        let task = self.tasks.spawn(action);
        self.whose.insert(task.id(), instance.clone());
        self.busy.insert(instance);
    }

    /// Whether the next one that ends has succeeded; waits for ever while nothing is under way.
    pub(super) async fn next(&mut self) -> bool {
        loop {
            let Some(ended) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            // One that panicked has failed like any other, and keeps its instance for nobody.
            let (id, succeeded) = match ended {
                Ok((id, succeeded)) => (id, succeeded),
                Err(error) => {
                    tracing::error!("an action ended early: {error}");
                    (error.id(), false)
                }
            };
            if let Some(instance) = self.whose.remove(&id) {
                self.busy.remove(&instance);
                return succeeded;
            }
        }
    }

    pub(super) async fn drain(&mut self) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(DRAIN, all).await.is_err() {
            tracing::info!(actions = self.tasks.len(), "left for the next start");
            self.tasks.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> InstanceId {
        digit.to_string().repeat(16).parse().unwrap()
    }

    #[tokio::test]
    async fn an_action_that_panics_has_failed_and_frees_its_instance() {
        let mut working = Working::default();
        working.start(id('a'), async { panic!("a fault") });
        assert!(working.busy().contains(&id('a')));
        assert!(!working.next().await);
        assert!(working.busy().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_what_takes_too_long_is_left() {
        let mut working = Working::default();
        let (told, hears) = tokio::sync::oneshot::channel();
        working.start(id('a'), std::future::pending());
        working.start(id('b'), async move {
            tokio::time::sleep(DRAIN / 2).await;
            told.send(()).is_ok()
        });
        working.drain().await;
        assert_eq!(hears.await, Ok(()));
        assert_eq!(working.len(), 0);
    }
}
