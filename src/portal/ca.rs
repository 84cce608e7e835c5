//! The appliance's own certificate: the file, and how to make a browser trust it.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

use super::Shared;
use super::fault::Fault;
use super::pages::{self, CaPage};
use super::plain::host_name;
use super::visit::host_of;

/// The page's commands fetch the file without TLS, since that is what is not trusted yet; whoever
/// types them compares the fingerprint.
pub(super) async fn page(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let host = host_of(&parts).and_then(host_name).unwrap_or("localhost");
    pages::render(
        StatusCode::OK,
        &CaPage {
            ca: shared.ca.as_ref(),
            url: &format!("http://{host}/ca.crt"),
        },
    )
}

pub(super) async fn download(State(shared): State<Shared>) -> Result<Response, Fault> {
    let ca = shared.ca.ok_or(Fault::NotFound)?;
    let headers = [
        (CONTENT_TYPE, "application/x-x509-ca-cert"),
        (CONTENT_DISPOSITION, "attachment; filename=\"rootCA.crt\""),
        // An appliance that was set up anew has another one.
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, ca.pem.to_string()).into_response())
}
