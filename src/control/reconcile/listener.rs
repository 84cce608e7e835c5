//! Hears the runtime's events as they come, whatever the loop is doing: the way to a container that
//! ended goes at once.

use std::sync::Arc;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::control::Control;
use crate::runtime::{EventKind, RuntimeEvent};

/// More are waited with; whoever listens late looks at the list.
const EVENTS_MAX: usize = 1_024;

pub(super) struct Listener {
    events: mpsc::Receiver<RuntimeEvent>,
    /// Ends with the listener.
    _task: JoinSet<()>,
}

impl Listener {
    pub(super) fn start(control: &Arc<Control>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        // Asked for here and not in the task: what happens from now on is told.
        let mut stream = control.runtime.events();
        let control = Arc::clone(control);
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(event) = stream.next().await {
                if event.kind == EventKind::Gone {
                    control.publisher.withdraw(&event.container);
                }
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        Self {
            events,
            _task: task,
        }
    }

    /// `None` once the runtime tells nothing more.
    pub(super) async fn next(&mut self) -> Option<RuntimeEvent> {
        self.events.recv().await
    }
}
