//! `thon status`: how the appliance is, on one screen.

use jiff::Timestamp;

use super::failure::Failure;
use super::words::{clean, span, table};
use super::{Context, instances};
use crate::api::{Status, Verdict};
use crate::domain::health::Health;

pub(super) async fn perform(context: &Context<'_>) -> Result<(), Failure> {
    let status: Status = context.client()?.get("/api/status").await?;
    let now = Timestamp::now();
    context.output.show(&status, |status| words(status, now))
}

fn words(status: &Status, now: Timestamp) -> String {
    let facts = facts(status).into_iter();
    let lines: Vec<String> = facts
        .map(|(name, value)| format!("{name:<10} {}", clean(&value)))
        .collect();
    let mut text = lines.join("\n");
    let listeners: Vec<[String; 3]> = status
        .listeners
        .iter()
        .map(|listener| {
            let tls = if listener.tls { "yes" } else { "no" };
            [
                listener.name.clone(),
                listener.address.to_string(),
                tls.to_owned(),
            ]
        })
        .collect();
    text.push_str("\n\n");
    text.push_str(&table(["listener", "address", "tls"], &listeners));
    text.push('\n');
    text.push_str(&instances::words(&status.instances, now));
    text
}

fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let config = status
        .config_path
        .as_ref()
        .map_or("none: defaults".to_owned(), |path| {
            path.display().to_string()
        });
    let mut facts = vec![
        (
            "thon",
            format!("{}, up {}", status.version, span(status.uptime_s)),
        ),
        ("health", health(status)),
    ];
    for part in &status.health.parts {
        if let Health::Degraded { code, message } = &part.health {
            facts.push(("", format!("{}: {message} ({code})", part.name)));
        }
    }
    facts.extend([
        ("public", status.public_url.clone()),
        ("admin", status.admin_url.clone()),
        ("runtime", status.runtime.clone()),
        ("settings", config),
        ("records", status.store_path.display().to_string()),
    ]);
    facts
}

fn health(status: &Status) -> String {
    match status.health.status {
        Verdict::Ok => "ok".to_owned(),
        Verdict::Degraded => "degraded; what runs goes on".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{HealthView, Listener};

    #[test]
    fn what_is_degraded_is_said_with_its_reason() {
        let status = Status {
            version: "0.1.0".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            uptime_s: 65,
            config_path: None,
            store_path: "/var/lib/thon/thon.redb".into(),
            public_url: "https://192.0.2.1".to_owned(),
            admin_url: "https://192.0.2.1:8100".to_owned(),
            listeners: vec![Listener {
                name: "public".to_owned(),
                address: "0.0.0.0:443".parse().unwrap(),
                tls: true,
            }],
            health: HealthView::new([(
                "runtime",
                Health::degraded("runtime_down", "Docker does not answer"),
            )]),
            runtime: "docker".to_owned(),
            instances: Vec::new(),
        };
        let text = words(&status, Timestamp::UNIX_EPOCH);
        assert!(text.contains("thon       0.1.0, up 1m 5s\n"), "{text}");
        assert!(text.contains("runtime: Docker does not answer (runtime_down)"));
        assert!(text.contains("public    0.0.0.0:443  yes"));
    }
}
