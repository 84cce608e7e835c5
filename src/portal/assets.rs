//! The style sheet, script and icon, embedded, with a tag that says when they changed.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

use super::Shared;
use super::asked::Word;
use super::fault::Fault;

const FILES: [(&str, &str, &[u8]); 5] = [
    (
        "ca.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/portal/ca.css"),
    ),
    (
        "ca.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/portal/ca.js"),
    ),
    (
        "portal.css",
        "text/css; charset=utf-8",
        include_bytes!("../../static/portal/portal.css"),
    ),
    (
        "portal.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/portal/portal.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_bytes!("../../static/portal/icon.svg"),
    ),
];

struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    tag: String,
}

/// Every embedded file; the tags are computed once.
pub(super) struct Assets(Vec<Asset>);

impl Default for Assets {
    fn default() -> Self {
        let assets = FILES.iter().map(|&(name, kind, bytes)| Asset {
            name,
            kind,
            bytes,
            tag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))),
        });
        Self(assets.collect())
    }
}

impl Assets {
    /// Always asked again (`no-cache`), mostly answered with 304: an upgrade in the middle of the
    /// event never shows a new page with an old style.
    fn answer(&self, name: &str, if_none_match: Option<&str>) -> Option<Response> {
        let asset = self.0.iter().find(|asset| asset.name == name)?;
        let caching = [(CACHE_CONTROL, "no-cache"), (ETAG, asset.tag.as_str())];
        if if_none_match.is_some_and(|tags| tags.contains(&asset.tag)) {
            return Some((StatusCode::NOT_MODIFIED, caching).into_response());
        }
        let body = Bytes::from_static(asset.bytes);
        Some((caching, [(CONTENT_TYPE, asset.kind)], body).into_response())
    }
}

pub(super) async fn serve(
    State(shared): State<Shared>,
    Word(file): Word,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let tags = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok());
    shared.assets.answer(&file, tags).ok_or(Fault::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let assets = Assets::default();
        let first = assets.answer("portal.css", None).unwrap();
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        let again = assets.answer("portal.css", Some(&tag)).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(assets.answer("base.html", None).is_none());
    }
}
