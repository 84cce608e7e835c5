//! Whose request it is: the key, by any of the headers that clients send it in.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::Gateway;
use super::refusal::Refusal;
use crate::auth::key;
use crate::routing::{self, KeyRefusal, LiveKey};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const APIKEY: HeaderName = HeaderName::from_static("apikey");

impl Gateway {
    pub(super) fn key(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Arc<LiveKey>, Refusal> {
        let text = shown(headers).ok_or(Refusal::NoKey)?;
        let unknown = Refusal::BadKey(KeyRefusal::Unknown);
        let credential = key::read(text).ok_or(unknown)?;
        let now = Timestamp::now();
        let admitted = routing::admit(&self.table.load(), &credential, peer, now);
        match admitted {
            Ok(key) => Ok(key),
            Err(refusal) => {
                if let (KeyRefusal::Elsewhere { id }, Some(from)) = (&refusal, peer) {
                    (self.foreign_key)(id.clone(), from);
                }
                Err(Refusal::BadKey(refusal))
            }
        }
    }
}

/// The first that is there. Anthropic's clients send `x-api-key`, APISIX's `apikey`.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    bearer
        .or_else(|| plain(headers, &X_API_KEY))
        .or_else(|| plain(headers, &APIKEY))
}

fn plain<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}
