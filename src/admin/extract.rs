//! What handlers take from a request, with refusals in the envelope.

use std::str::FromStr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::AdminState;
use super::error::Refusal;
use crate::domain::id::{ParseError, UserRef};

/// The participant that the path names.
pub(super) struct Owner(pub(super) UserRef);

impl FromRequestParts<AdminState> for Owner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Refusal> {
        let Path((group, user)) =
            Path::<(String, String)>::from_request_parts(parts, state).await?;
        let group = group.parse().map_err(|e| Refusal::field("group", &e))?;
        let user = user.parse().map_err(|e| Refusal::field("user", &e))?;
        Ok(Self(UserRef::new(group, user)))
    }
}

/// The identifier that the path names.
pub(super) struct Id<T>(pub(super) T);

impl<T: FromStr<Err = ParseError>> FromRequestParts<AdminState> for Id<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Refusal> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        id.parse().map(Self).map_err(|e| Refusal::field("id", &e))
    }
}

/// A JSON body; none at all is the default, so that `curl -X POST` is enough.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<AdminState> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &AdminState) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let Json(value) = Json::<T>::from_bytes(&body)?;
        Ok(Self(value))
    }
}

/// What the query says, each part of which has a default.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<AdminState> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Refusal> {
        let Query(asked) = Query::from_request_parts(parts, state).await?;
        Ok(Self(asked))
    }
}

/// `?page=…&page_size=…`, as in the original: pages count from 1 and hold 50 unless told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Page {
    pub(super) page: usize,
    pub(super) page_size: usize,
}

/// Largest page.
const PAGE_SIZE_MAX: usize = 200;

impl Default for Page {
    fn default() -> Self {
        Self {
            page: 1,
            page_size: 50,
        }
    }
}

impl Page {
    /// For a query that says more than this.
    pub(super) fn of(page: Option<usize>, page_size: Option<usize>) -> Result<Self, Refusal> {
        let usual = Self::default();
        let page = Self {
            page: page.unwrap_or(usual.page),
            page_size: page_size.unwrap_or(usual.page_size),
        };
        page.checked()
    }

    fn checked(self) -> Result<Self, Refusal> {
        if self.page < 1 || !(1..=PAGE_SIZE_MAX).contains(&self.page_size) {
            return Err(Refusal::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid",
                format!("`page` counts from 1 and `page_size` is 1 to {PAGE_SIZE_MAX}"),
            ));
        }
        Ok(self)
    }

    /// The items of this page.
    pub(super) fn cut<T>(self, items: Vec<T>) -> Vec<T> {
        let skipped = (self.page - 1).saturating_mul(self.page_size);
        items
            .into_iter()
            .skip(skipped)
            .take(self.page_size)
            .collect()
    }
}

impl FromRequestParts<AdminState> for Page {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AdminState) -> Result<Self, Refusal> {
        let Asked(page) = Asked::<Self>::from_request_parts(parts, state).await?;
        page.checked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_overlap() {
        let page = |page| Page { page, page_size: 3 };
        let items: Vec<u8> = (0..7).collect();
        let all: Vec<u8> = (1..=4).flat_map(|n| page(n).cut(items.clone())).collect();
        assert_eq!(all, items);
        assert!(page(usize::MAX).cut(items).is_empty());
    }
}
