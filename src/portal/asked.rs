//! What a request asks for: a word of the path, the query and the form, with refusals as pages.

use std::convert::Infallible;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Shared;
use super::fault::Fault;
use super::next::Next;

/// The one variable word of the path.
pub(super) struct Word(pub(super) String);

impl FromRequestParts<Shared> for Word {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Fault> {
        let word = Path::from_request_parts(parts, shared).await;
        word.map(|Path(word)| Self(word))
            .map_err(|_| Fault::NotFound)
    }
}

/// Where to go after signing in, in a query or a form.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    next: Option<String>,
}

impl Wish {
    pub(super) fn next(&self) -> Next {
        Next::parse(self.next.as_deref())
    }
}

/// A query that cannot be read wishes for nothing: that is no reason to keep anybody from the page.
impl FromRequestParts<Shared> for Wish {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let query = Query::from_request_parts(parts, shared).await;
        Ok(query.map(|Query(wish)| wish).unwrap_or_default())
    }
}

/// The fields of a form.
pub(super) struct Fields<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Fields<T> {
    type Rejection = Fault;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, Fault> {
        match Form::from_request(request, shared).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(rejection) => Err(unread(&rejection)),
        }
    }
}

fn unread(rejection: &FormRejection) -> Fault {
    match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Fault::FormTooLarge,
        _ => Fault::BadForm,
    }
}
