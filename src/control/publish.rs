//! The one writer of the table: rebuilds it from the store after a change.

use std::sync::Arc;

use crate::auth::{editor, token};
use crate::control::{Control, Error};
use crate::domain::instance::Instance;
use crate::domain::secret::Secret;
use crate::domain::session::Session;
use crate::routing::build;

impl Control {
    /// Derives the table from the store and puts it in force; what it no longer has is cut.
    pub(super) fn publish(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing.lock();
        let view = self.view()?;
        let instances: Vec<Instance> = view
            .all::<Instance>()?
            .into_iter()
            .map(|(_, instance)| instance)
            .collect();
        let sessions: Vec<_> = view
            .all::<Session>()?
            .into_iter()
            .filter_map(|(hash, session)| Some((token::from_hex(&hash)?, session)))
            .collect();
        let previous = self.table.load_full();
        let next = build::build(&previous, &instances, &sessions, |instance| {
            self.editor_cookie(instance)
        });
        self.table.publish(next);
        build::cut(&previous, &Arc::clone(&self.table.load_full()));
        Ok(())
    }

    /// What the proxy shows to an instance's editor instead of a log-in.
    pub(super) fn editor_cookie(&self, instance: &Instance) -> Secret {
        editor::hashed(&self.password(instance))
    }

    pub(super) fn password(&self, instance: &Instance) -> Secret {
        let key = &self.store.identity().editor_key;
        editor::password(key, &instance.id, instance.generation)
    }
}
