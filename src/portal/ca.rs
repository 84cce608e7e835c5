//! The appliance's own certificate: the file, and a page that gets a browser ready for an editor.

mod identity;
mod profile;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    USER_AGENT,
};
use http::request::Parts;
use http::{HeaderName, StatusCode};
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};

use super::fault::Fault;
use super::pages::{self, CaPage};
use super::plain::host_name;
use super::visit::host_of;
use super::{Shared, agent, headers};
use identity::Identity;

/// The worker of the test: its scope is the directory that it comes from.
const WORKER: &str = include_str!("../../static/portal/ca_worker.js");

/// An appliance that was set up anew has another certificate.
const NOT_KEPT: (HeaderName, &str) = (CACHE_CONTROL, "no-store");

/// The page's commands fetch the file without TLS, since that is what is not trusted yet; whoever
/// types them compares the fingerprint.
pub(super) async fn page(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let visited = Visited::of(&parts, &shared);
    let secure = visited.secure(&shared);
    let elsewhere = visited.elsewhere(&shared);
    let ca = shared.ca.as_ref().map(|ca| {
        let url = visited.plain(ca.plain_port, "/ca.crt");
        Identity::of(ca).words(url)
    });
    let page = CaPage {
        ca,
        secure: secure.as_deref(),
        elsewhere: elsewhere.as_deref(),
        opened: opened(&parts.headers),
    };
    let mut response = pages::render(StatusCode::OK, &page);
    // Some browsers do not count a WebSocket as `'self'`.
    let asked = secure.unwrap_or_else(|| format!("wss://{}", visited.host));
    if let Some(policy) = headers::policy_with(&asked) {
        response
            .headers_mut()
            .insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

pub(super) async fn download(State(shared): State<Shared>) -> Result<Response, Fault> {
    let ca = shared.ca.ok_or(Fault::NothingToInstall)?;
    let headers = [
        (CONTENT_TYPE, "application/x-x509-ca-cert"),
        (CONTENT_DISPOSITION, "attachment; filename=\"rootCA.crt\""),
        NOT_KEPT,
    ];
    Ok((headers, ca.pem.to_string()).into_response())
}

/// For iPhone and iPad, where a certificate alone cannot be installed from every browser.
pub(super) async fn profile(State(shared): State<Shared>) -> Result<Response, Fault> {
    let ca = shared.ca.ok_or(Fault::NothingToInstall)?;
    let headers = [
        (CONTENT_TYPE, "application/x-apple-aspen-config"),
        (
            CONTENT_DISPOSITION,
            "attachment; filename=\"thon.mobileconfig\"",
        ),
        NOT_KEPT,
    ];
    Ok((headers, profile::of(&Identity::of(&ca))).into_response())
}

/// This page's address, for a phone.
pub(super) async fn qr(State(shared): State<Shared>, request: Request) -> Result<Response, Fault> {
    let (parts, _) = request.into_parts();
    let visited = Visited::of(&parts, &shared);
    let address = visited.elsewhere(&shared).ok_or(Fault::NotFound)?;
    let code =
        QrCode::with_error_correction_level(address, EcLevel::M).map_err(|_| Fault::NotFound)?;
    let picture = code
        .render::<svg::Color<'_>>()
        .min_dimensions(240, 240)
        .build();
    Ok(([(CONTENT_TYPE, "image/svg+xml"), NOT_KEPT], picture).into_response())
}

pub(super) async fn worker() -> impl IntoResponse {
    let kind = (CONTENT_TYPE, "text/javascript; charset=utf-8");
    ([kind, NOT_KEPT], WORKER)
}

/// The address by which the visitor got here, without which no link would work for them.
struct Visited {
    /// With its port, if that is not the usual one.
    host: String,
    name: String,
}

impl Visited {
    fn of(parts: &Parts, shared: &Shared) -> Self {
        let host = host_of(parts).filter(|host| host_name(host).is_some());
        let host = host.unwrap_or("localhost");
        let name = host_name(host).unwrap_or("localhost").to_owned();
        let host = match shared.tls_port {
            Some(443) => name.clone(),
            Some(port) => format!("{name}:{port}"),
            None => host.to_owned(),
        };
        Self { host, name }
    }

    fn plain(&self, port: u16, path: &str) -> String {
        if port == 80 {
            format!("http://{}{path}", self.name)
        } else {
            format!("http://{}:{port}{path}", self.name)
        }
    }

    /// The public listener's origin, when this is the plain one.
    fn secure(&self, shared: &Shared) -> Option<String> {
        shared.tls_port.map(|_| format!("https://{}", self.host))
    }

    /// This page as another device finds it; a name of this host's own leads nowhere there.
    fn elsewhere(&self, shared: &Shared) -> Option<String> {
        let is_here = self.name == "localhost"
            || self.name.ends_with(".localhost")
            || self.name.starts_with("127.")
            || self.name == "[::1]";
        if is_here {
            return None;
        }
        Some(match &shared.ca {
            Some(ca) => self.plain(ca.plain_port, "/ca"),
            None => format!("https://{}/ca", self.host),
        })
    }
}

/// The instructions for the visitor's system, and for Firefox, which trusts its own list.
fn opened(headers: &HeaderMap) -> Vec<&'static str> {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .unwrap_or_default();
    let system = agent::system(agent);
    let is_linux_firefox =
        agent::browser(agent) == Some("Firefox") && matches!(system, Some("Linux") | None);
    match system {
        _ if is_linux_firefox => vec!["Firefox"],
        Some("iPhone" | "iPad") => vec!["iOS"],
        Some(system) => vec![system],
        None => Vec::new(),
    }
}
