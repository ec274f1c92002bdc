//! Query parameters, strictly: one that is unknown, misspelt or unreadable is refused, since an
//! option that is ignored is an answer to another question.

use std::error::Error;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::{Deserialize, de::DeserializeOwned};

use super::Problem;
use crate::protocol::code::{ErrorBody, ErrorCode};

/// The parameters of a request, as a struct that denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

/// Of a route without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let cause = rejection.source().map_or_else(String::new, ToString::to_string);
                let message = format!("the query parameters cannot be read: {cause}");
                Err(ErrorBody::new(ErrorCode::BadRequest, message).into())
            }
        }
    }
}
