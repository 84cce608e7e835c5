//! `GET /models`: what this key may use.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::asked::peer;
use super::refusal::Refusal;
use super::{Gateway, Listing};
use crate::domain::key::Key;
use crate::llm::Dialect;

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Listed>,
}

#[derive(Clone, Serialize)]
struct Listed {
    id: String,
    object: &'static str,
    /// Nobody knows; clients want a number.
    created: u64,
    owned_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u64>,
}

impl Gateway {
    /// All, or the one that is named.
    pub(super) fn list(&self, listing: Listing<'_>, request: &Request) -> Response {
        match self.listed(listing, request) {
            Ok(answer) => answer,
            Err(refusal) => refusal.answer(Dialect::OpenAi),
        }
    }

    fn listed(&self, listing: Listing<'_>, request: &Request) -> Result<Response, Refusal> {
        let key = self.key(request.headers(), peer(request))?;
        if !self.upstreams.is_ready() {
            return Err(Refusal::Unavailable);
        }
        let models = self.models(&key.key);
        let Listing::One(one) = listing else {
            let list = List {
                object: "list",
                data: models.into_values().collect(),
            };
            return Ok(Json(list).into_response());
        };
        let unknown = || Refusal::UnknownModel(one.chars().take(100).collect());
        let name = self.model(one, &key.key)?;
        let found = models.get(one).or_else(|| models.get(name.as_str()));
        found
            .map(|model| Json(model.clone()).into_response())
            .ok_or_else(unknown)
    }

    fn models(&self, key: &Key) -> BTreeMap<String, Listed> {
        let may = |name| key.models.is_empty() || key.models.contains(name);
        let there = self.upstreams.models();
        let named = there
            .iter()
            .filter(|(name, _)| self.offered.is_offered(name));
        let plain = named.map(|(name, model)| (name.to_string(), name, model));
        let aliases = self.offered.aliases();
        let aliased =
            aliases.filter_map(|(alias, name)| Some((alias.clone(), name, there.get(name)?)));
        plain
            .chain(aliased)
            .filter(|(_, name, _)| may(name))
            .map(|(id, _, model)| {
                let listed = Listed {
                    id: id.clone(),
                    object: "model",
                    created: 0,
                    owned_by: "thon",
                    context_length: model.context_tokens,
                };
                (id, listed)
            })
            .collect()
    }
}
