//! Query parameters, strictly: one that is unknown, misspelt or unreadable is refused, since an
//! option that is ignored is an answer to another question.

use std::error::Error;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};

use super::Problem;
use crate::protocol::code::{ErrorBody, ErrorCode};

/// The parameters of a request, as a struct that denies unknown fields.
pub(super) struct Params<T>(pub(super) T);

/// Of a route without parameters.
#[derive(Deserialize, JsonSchema)]
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

/// Topics and patterns, separated by commas, which neither can hold.
pub(super) fn topics(text: &str, most: usize) -> Result<Vec<String>, ErrorBody> {
    if text.trim().is_empty() {
        let message = "`topics` names nothing: topics or patterns, separated by commas";
        return Err(ErrorBody::new(ErrorCode::BadRequest, message));
    }
    let named = text.split(',').count();
    if named > most {
        let message = format!("{named} topics are named, at most {most} may be");
        return Err(ErrorBody::new(ErrorCode::TooManyTopics, message));
    }
    Ok(text.split(',').map(|topic| topic.trim().to_owned()).collect())
}
