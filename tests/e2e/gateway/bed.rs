//! `Bed`: an appliance in front of real models, and people with keys.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use super::model::{KEY, Served};
use super::people::Person;
use crate::story::appliance::Appliance;
use crate::story::until;

const SOON: Duration = Duration::from_secs(20);

pub(super) struct Bed {
    pub(super) appliance: Appliance,
    pub(super) models: Vec<Served>,
}

impl Bed {
    /// `keys` are further settings of `gateway`, in YAML without braces.
    pub(super) async fn make(
        mut appliance: Appliance,
        models: Vec<Served>,
        keys: &str,
        others: &str,
    ) -> Self {
        let file = appliance.directory().join("model.key");
        std::fs::write(&file, KEY).unwrap();
        let readable = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, readable).unwrap();
        let backend = |model: &Served| {
            let (url, file) = (model.url(), file.display());
            format!("{{url: '{url}', api_key_file: '{file}'}}")
        };
        let backends: Vec<String> = models.iter().map(backend).collect();
        let backends = backends.join(", ");
        appliance.set_gateway(
            &format!("enabled: true, backends: [{backends}], {keys}"),
            others,
        );
        appliance.run().await;
        let bed = Self { appliance, models };
        bed.until_ready().await;
        bed
    }

    pub(super) async fn until_ready(&self) {
        until(SOON, async || {
            let seen = self.look(&["gateway"]).await;
            let backends = seen["backends"].as_array().unwrap().iter();
            let is_ready = backends.filter(|backend| backend["state"] == "up").count();
            (is_ready == self.models.len())
                .then_some(())
                .ok_or(seen.to_string())
        })
        .await;
    }

    async fn look(&self, arguments: &[&str]) -> Value {
        let arguments = [&["--json"], arguments].concat();
        serde_json::from_str(&self.appliance.thon(&arguments).await.well()).unwrap()
    }

    /// By the listener for programs on this host.
    pub(super) async fn person(&self, who: &str) -> Person {
        let key = self.look(&["keys", "create", who]).await["key"].clone();
        Person {
            base: format!(
                "http://127.0.0.1:{}/v1",
                self.appliance.ports().await.gateway
            ),
            key: key.as_str().unwrap().to_owned(),
            authority: None,
        }
    }

    /// By the public listener, as from another machine.
    pub(super) async fn guest(&self, who: &str) -> Person {
        let file = self.appliance.directory().join("ca.pem");
        std::fs::write(&file, self.appliance.ca().await).unwrap();
        let port = self.appliance.ports().await.public;
        Person {
            base: format!("https://127.0.0.1:{port}/v1"),
            authority: Some(file),
            ..self.person(who).await
        }
    }

    /// What the ledger has, the newest entry first.
    pub(super) async fn entries(&self) -> Vec<Value> {
        let entries = self.look(&["usage", "--requests", "200"]).await;
        entries.as_array().unwrap().clone()
    }

    /// The same, once there are so many.
    pub(super) async fn ledger(&self, count: usize) -> Vec<Value> {
        let seen = until(SOON, async || {
            let entries = self.entries().await;
            (entries.len() >= count)
                .then_some(entries)
                .ok_or(format!("{count} entries"))
        });
        let entries = seen.await.0;
        assert_eq!(entries.len(), count, "{entries:#?}");
        entries
    }

    /// Tokens of the first limit that are gone.
    pub(super) async fn used_by(&self, who: &str) -> i64 {
        let balances = self.look(&["gateway", "balances"]).await;
        let mut balances = balances.as_array().unwrap().iter();
        let balance = balances.find(|balance| balance["who"] == who).unwrap();
        let number = |name: &str| balance[name].as_i64().unwrap();
        number("tokens") - number("remaining")
    }

    /// No slot is taken, nobody waits, and nothing is reserved.
    pub(super) async fn is_idle(&self, patience: Duration) {
        until(patience, async || {
            let seen = self.look(&["gateway"]).await;
            let models = seen["models"].as_array().unwrap().iter();
            let busy = |model: &Value| model["slots_busy"] != 0 || model["queued"] != 0;
            let is_idle = models.filter(|model| busy(model)).count() == 0;
            (is_idle && seen["reserved_tokens"] == 0)
                .then_some(())
                .ok_or(seen.to_string())
        })
        .await;
    }
}
