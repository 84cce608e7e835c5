//! The appliance's own authority, for the command line and for scripts.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName};

use super::AdminState;
use super::error::Refusal;
use crate::api::CaView;

pub(super) async fn show(State(state): State<AdminState>) -> Result<Json<CaView>, Refusal> {
    own(&state).map(|ca| Json(ca.clone()))
}

pub(super) async fn download(
    State(state): State<AdminState>,
) -> Result<([(HeaderName, &'static str); 1], String), Refusal> {
    let kind = [(CONTENT_TYPE, "application/x-x509-ca-cert")];
    own(&state).map(|ca| (kind, ca.pem.clone()))
}

fn own(state: &AdminState) -> Result<&CaView, Refusal> {
    state.facts.ca.as_ref().ok_or_else(|| {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "this appliance uses a certificate from files (`proxy.ssl_certificate`): there is no authority to trust",
        )
    })
}
