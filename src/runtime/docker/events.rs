//! Docker's events about our containers, in the product's words.

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptions;
use futures_util::stream::{BoxStream, StreamExt};

use super::client::Client;
use super::observe;
use crate::domain::id::ApplianceId;
use crate::runtime::{EventKind, RuntimeEvent};

/// Ends with the first error, so that whoever listens lists again before it asks anew.
pub(super) fn stream(client: Client, appliance: &ApplianceId) -> BoxStream<'static, RuntimeEvent> {
    let mut filters = observe::filters(appliance);
    filters.insert("type".to_owned(), vec!["container".to_owned()]);
    let options = EventsOptions {
        filters: Some(filters),
        ..EventsOptions::default()
    };
    futures_util::stream::once(async move { client.known().await })
        .filter_map(|known| std::future::ready(known.ok()))
        .flat_map(move |known| known.api.events(Some(options.clone())))
        .take_while(|message| std::future::ready(message.is_ok()))
        .filter_map(|message| std::future::ready(message.ok().and_then(event)))
        .boxed()
}

fn event(message: EventMessage) -> Option<RuntimeEvent> {
    let kind = kind(message.action.as_deref()?)?;
    let container = message.actor?.id?;
    Some(RuntimeEvent { container, kind })
}

/// Commands run inside by hand make events too, which change nothing.
fn kind(action: &str) -> Option<EventKind> {
    match action {
        "die" | "destroy" => Some(EventKind::Gone),
        "create" | "oom" | "pause" | "rename" | "restart" | "start" | "stop" | "unpause"
        | "update" => Some(EventKind::Changed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_from_a_change_and_from_noise() {
        for gone in ["die", "destroy"] {
            assert_eq!(kind(gone), Some(EventKind::Gone));
        }
        for changed in ["start", "pause", "unpause", "oom", "create"] {
            assert_eq!(kind(changed), Some(EventKind::Changed));
        }
        for noise in ["exec_start: sh", "exec_die", "attach", "top", "kill"] {
            assert_eq!(kind(noise), None);
        }
    }
}
