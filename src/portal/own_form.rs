//! Changes are asked for by our own forms only: what the browser says of where a request is from.

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};

use super::fault::Fault;
use super::visit::host_of;
use crate::edge::Scheme;

/// Proof that the request is a form of ours, submitted by the browser's own window.
pub(super) struct OwnForm;

impl<S: Sync> FromRequestParts<S> for OwnForm {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        let scheme = parts.extensions.get().copied().unwrap_or(Scheme::Https);
        if is_own_form(&parts.headers, scheme, host_of(parts)) {
            Ok(Self)
        } else {
            Err(Fault::ForeignForm)
        }
    }
}

/// Fetch metadata cannot be forged by a page. Where a browser sends none, `Origin` has to be ours;
/// a request with neither is refused. Since our pages send no referrer, such an old browser says
/// `Origin: null` and is refused as well, like any sandboxed frame that says so.
fn is_own_form(headers: &HeaderMap, scheme: Scheme, host: Option<&str>) -> bool {
    let said = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match said("sec-fetch-site") {
        Some(site) => {
            site == "same-origin"
                // Not `fetch`, and not a form in a frame.
                && said("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
                && said("sec-fetch-dest").is_none_or(|dest| dest == "document")
        }
        None => match (said(header::ORIGIN.as_str()), host) {
            (Some(origin), Some(host)) => origin
                .strip_prefix(scheme.as_str())
                .and_then(|rest| rest.strip_prefix("://"))
                .is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host)),
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn verdict(given: &[(&'static str, &'static str)]) -> bool {
        let headers = given.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let host = Some("thon.example:8443");
        is_own_form(&headers.collect(), Scheme::Https, host)
    }

    #[test]
    fn without_tls_the_origin_is_the_plain_one() {
        for (origin, verdict) in [
            ("http://localhost:8080", true),
            ("https://localhost:8080", false),
        ] {
            let headers = [(header::ORIGIN, HeaderValue::from_static(origin))];
            let headers = headers.into_iter().collect();
            let host = Some("localhost:8080");
            assert_eq!(is_own_form(&headers, Scheme::Http, host), verdict);
        }
    }

    #[test]
    fn a_form_of_ours_in_the_browsers_window_passes() {
        assert!(verdict(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("origin", "null"),
        ]));
        assert!(verdict(&[("origin", "https://thon.example:8443")]));
    }

    #[test]
    fn everything_else_is_refused() {
        let refused: [&[(&str, &str)]; 9] = [
            &[],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://thon.example:8443"),
            ],
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "cors"),
                ("sec-fetch-dest", "empty"),
            ],
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
            ],
            &[("origin", "null")],
            &[("origin", "http://thon.example:8443")],
        ];
        for headers in refused {
            assert!(!verdict(headers), "{headers:?}");
        }
    }
}
