//! The security headers of every answer that is our own.

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// For our own pages: they have no inline script and no inline style.
pub const STRICT_CSP: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Added to a policy of the handler's own: nobody may frame our pages, a sandbox on the same origin
/// least of all.
const NO_FRAMES: &str = "frame-ancestors 'none'";

/// Fills in what the handler left open. Its own, stricter or different, policies stay, except that no
/// answer of ours can be framed or sniffed.
pub fn shield(headers: &mut HeaderMap) {
    if headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static(NO_FRAMES));
    } else {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(STRICT_CSP),
        );
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    fill(headers, REFERRER_POLICY, "same-origin");
    fill(
        headers,
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
}

fn fill(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers
        .entry(name)
        .or_insert(HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_with_a_policy_of_its_own_still_cannot_be_framed() {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("script-src 'none'"),
        );
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        shield(&mut headers);
        let policies: Vec<_> = headers.get_all(CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["script-src 'none'", NO_FRAMES]);
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");
    }
}
