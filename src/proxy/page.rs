//! How a refusal looks: a page for people, JSON for programs.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderName, HeaderValue};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use sha2::{Digest as _, Sha256};

use super::refusal::{Next, Refusal, Words};
use crate::edge::shield;

/// Self-contained: a page about trouble must not need a second request. It looks like the portal.
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:12vh auto;\
padding:0 1rem;color:#1b2421;background:#f7f7f7}main{background:#fff;border:1px solid #d7dbd9;\
border-radius:.75rem;padding:1rem 1.5rem}h1{font-size:1.5rem}a{display:inline-block;\
background:#1f6f5c;color:#fff;text-decoration:none;font-weight:600;padding:.6rem 1rem;\
border-radius:.5rem}.reason{background:#f0f2f1;padding:.75rem 1rem;border-radius:.5rem;\
overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{color:#e4e9e7;background:#141816}\
main{background:#1c2220;border-color:#333b38}.reason{background:#262d2a}}";

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{%- if let Some(seconds) = refresh_s %}
<meta http-equiv="refresh" content="{{ seconds }}">
{%- endif %}
<title>{{ title }}</title>
<style>{{ style|safe }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
<p>{{ text }}</p>
{%- if let Some(reason) = reason %}
<p class="reason">{{ reason }}</p>
{%- endif %}
{%- if let Some(next) = next %}
<p><a href="{{ next.href }}">{{ next.label }}</a></p>
{%- endif %}
</main>
</body>
</html>
"#
)]
struct Page<'a> {
    title: &'a str,
    text: &'a str,
    reason: Option<&'a str>,
    next: Option<&'a Next>,
    refresh_s: Option<u32>,
    style: &'a str,
}

/// Who reads the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reader {
    Person,
    #[default]
    Program,
}

/// Writes the whole answer; gives back its length.
pub(super) async fn answer(
    session: &mut Session,
    refusal: &Refusal,
    reader: Reader,
    hsts: Option<&HeaderValue>,
) -> Result<usize> {
    let (mut headers, body) = render(refusal, reader);
    if let Some(hsts) = hsts {
        headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let mut head = ResponseHeader::build(refusal.status(), Some(headers.len() + 3))?;
    for (name, value) in &headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, body.len())?;
    let has_body = session.req_header().method != Method::HEAD && !body.is_empty();
    session
        .write_response_header(Box::new(head), !has_body)
        .await?;
    let len = if has_body { body.len() } else { 0 };
    let body = has_body.then_some(body);
    session.write_response_body(body, true).await?;
    Ok(len)
}

fn render(refusal: &Refusal, reader: Reader) -> (HeaderMap, Bytes) {
    let words = refusal.words();
    let mut headers = HeaderMap::new();
    set(&mut headers, CACHE_CONTROL, "no-store");
    if let Some(location) = refusal.location() {
        set(&mut headers, LOCATION, &location);
        shield(&mut headers);
        return (headers, Bytes::new());
    }
    if let Some(seconds) = words.retry_s {
        let seconds = if reader == Reader::Person { seconds } else { 1 };
        set(&mut headers, RETRY_AFTER, &seconds.to_string());
    }
    let body = match reader {
        Reader::Person => {
            set(&mut headers, CONTENT_TYPE, "text/html; charset=utf-8");
            set(&mut headers, CONTENT_SECURITY_POLICY, &policy());
            page(refusal, &words)
        }
        Reader::Program => {
            set(&mut headers, CONTENT_TYPE, "application/json");
            json(refusal, &words)
        }
    };
    shield(&mut headers);
    (headers, Bytes::from(body))
}

/// All values are ours or percent-encoded; one that is not is left out rather than let through.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn policy() -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

fn page(refusal: &Refusal, words: &Words) -> String {
    let page = Page {
        title: words.title,
        text: words.text,
        reason: refusal.reason(),
        next: words.next.as_ref(),
        refresh_s: words.retry_s,
        style: STYLE,
    };
    page.render().unwrap_or_else(|_| words.text.to_owned())
}

/// The envelope of every door, with the original's `detail` beside it.
fn json(refusal: &Refusal, words: &Words) -> String {
    let message = match refusal.reason() {
        Some(reason) => format!("{} ({reason})", words.text),
        None => words.text.to_owned(),
    };
    serde_json::json!({
        "error": { "code": words.code, "message": message },
        "detail": message,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::instance::Phase;

    #[test]
    fn a_page_refreshes_itself_shows_the_next_step_and_escapes_the_reason() {
        let refusal = Refusal::Waiting {
            phase: Phase::Failed,
            reason: Some("<script>alert(1)</script>".to_owned()),
        };
        let (headers, body) = render(&refusal, Reader::Person);
        let body = std::str::from_utf8(&body).unwrap();
        assert!(
            body.contains(r#"<meta http-equiv="refresh" content="5">"#),
            "{body}"
        );
        assert!(body.contains(r#"<a href="/">"#), "{body}");
        assert!(!body.contains("<script"), "{body}");
        assert!(body.contains(STYLE));
        assert_eq!(headers[RETRY_AFTER], "5");
        assert!(
            headers[CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .contains("'sha256-")
        );
    }

    #[test]
    fn a_program_gets_the_envelope_and_the_original_s_detail() {
        let refusal = Refusal::Waiting {
            phase: Phase::Starting,
            reason: None,
        };
        let (headers, body) = render(&refusal, Reader::Program);
        assert_eq!(headers[RETRY_AFTER], "1");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"]["code"], "starting");
        assert_eq!(body["error"]["message"], body["detail"]);
    }
}
