//! `/v1/symbols`: which markets there are, from whom, and what their fields mean.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, Problem, answer, params::Params};
use crate::{delivery::SymbolRow, units::now_us};

/// What may be asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// How many at most: 1 to 1000, else 100.
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SymbolsBody")]
pub(super) struct Body {
    /// By name.
    symbols: Vec<SymbolRow>,
    /// The `cursor` of the next page; null at the end.
    next: Option<String>,
}

/// `GET /v1/symbols?limit=&cursor=`.
pub(super) async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
) -> Result<Response, Problem> {
    let page = app.context.reader.symbols(asked.limit, asked.cursor.as_deref(), now_us())?;
    let body = Body { symbols: page.rows, next: page.next };
    Ok(answer::json(&headers, &body))
}
