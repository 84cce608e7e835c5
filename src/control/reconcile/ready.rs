//! Waits for an editor's first answer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::control::{Control, Error};
use crate::domain::instance::{Container, ContainerState, Desired, Instance};
use crate::runtime::RuntimeError;

/// An editor that does not answer for this long after its start has failed.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Between two looks at a container that starts.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two questions to an editor that does not answer yet.
const ASK_EVERY: Duration = Duration::from_millis(150);

impl Control {
    /// Asks until the editor answers. Looks once a second whether the container still lives and is
    /// still wanted: nobody waits for an editor that will never come.
    pub(super) async fn until_ready(
        &self,
        instance: &Instance,
        container: &Container,
    ) -> Result<Option<Container>, Error> {
        let cookie = self.editor_cookie(instance);
        let deadline = Instant::now() + READY_WITHIN;
        while self.still_wanted(instance) {
            let here = self.living(&container.id).await?;
            let look_again = Instant::now() + LOOK_EVERY;
            while Instant::now() < look_again {
                match self.runtime.probe(&here, &cookie).await {
                    Ok(()) => return Ok(Some(here)),
                    Err(RuntimeError::Unavailable(_)) => sleep(ASK_EVERY).await,
                    Err(error) => return Err(error.into()),
                }
            }
            if Instant::now() > deadline {
                let seconds = READY_WITHIN.as_secs();
                return Err(Error::Unavailable(format!(
                    "the editor did not answer within {seconds} seconds"
                )));
            }
        }
        Ok(None)
    }

    /// Also not wanted any more is this start when somebody asked for another one meanwhile.
    fn still_wanted(&self, instance: &Instance) -> bool {
        let current = self.publisher.instance(&instance.owner.to_string());
        current.is_some_and(|current| {
            current.id == instance.id
                && current.generation == instance.generation
                && current.desired == Desired::Running
                && current.restart == instance.restart
        })
    }

    /// The container as it is now; an error when it ended.
    async fn living(&self, container: &str) -> Result<Container, Error> {
        let here = self
            .runtime
            .inspect(container)
            .await
            .map_err(|error| match error {
                RuntimeError::Missing => {
                    Error::Conflict("its container was removed while it started".to_owned())
                }
                other => other.into(),
            })?;
        match here.state {
            ContainerState::Exited {
                out_of_memory: true,
                ..
            } => Err(Error::Conflict(
                "the editor ran out of memory while it started".to_owned(),
            )),
            ContainerState::Exited { code, .. } => Err(Error::Conflict(format!(
                "the editor ended with code {code} while it started"
            ))),
            _ => Ok(here),
        }
    }
}
