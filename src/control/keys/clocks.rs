//! Writes down when keys were used, away from the requests that use them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::control::{Control, Error};
use crate::domain::id::KeyId;
use crate::domain::key::Key;

/// A crash costs at most this much of what is known about the last use.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// Uses that differ by less are as good as written down.
const WORTH_WRITING: SignedDuration = SignedDuration::from_secs(30);

impl Control {
    /// Once a minute, and at the end.
    pub async fn keep_keys(&self, shutdown: CancellationToken) {
        loop {
            let pause = tokio::time::sleep(FLUSH_EVERY);
            let is_last = shutdown.run_until_cancelled(pause).await.is_none();
            if let Err(error) = self.flush_keys().await {
                tracing::error!("the last uses of keys were not written: {error}");
            }
            if is_last {
                return;
            }
        }
    }

    /// Most minutes of a quiet event nothing is to be written.
    pub async fn flush_keys(&self) -> Result<(), Error> {
        let used = self.used_since();
        if used.is_empty() {
            return Ok(());
        }
        self.note(move |tx| {
            for (id, at) in &used {
                // One that cannot be read, or was revoked meanwhile, keeps nobody else's from it.
                if let Ok(Some(mut key)) = tx.get::<Key>(id.as_str()) {
                    key.last_used_at = Some(*at);
                    tx.put(id.as_str(), &key)?;
                }
            }
            Ok(())
        })
        .await
    }

    fn used_since(&self) -> Vec<(KeyId, Timestamp)> {
        let table = self.table().load();
        let used = table.keys().values().filter_map(|live| {
            let at = live.last_used_at()?;
            let is_news = live
                .key
                .last_used_at
                .is_none_or(|written| at.duration_since(written) > WORTH_WRITING);
            is_news.then(|| (live.key.id.clone(), at))
        });
        used.collect()
    }
}
