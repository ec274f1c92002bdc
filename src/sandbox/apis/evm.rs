//! A node by JSON-RPC: `eth_blockNumber` and `eth_feeHistory`, one call or a batch. Percentiles
//! and the number of blocks are followed; what blocks pay is the same at each.

use std::sync::Arc;

use axum::{
    Router, body::Bytes, extract::State, http::StatusCode, response::Response, routing::post,
};
use serde_json::{Value, json as object};

use super::{
    super::{chain::Gas, world::World},
    json,
};

/// The most blocks that a history has.
const BLOCKS_MAX: u64 = 1_024;

/// The path is that of the node itself.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/evm", post(call))
}

async fn call(State(world): State<Arc<World>>, body: Bytes) -> Response {
    let (gas, height) = world.see(|market| (market.chain().gas(), market.chain().evm_height()));
    let answer = match serde_json::from_slice::<Value>(&body) {
        Ok(Value::Array(calls)) if !calls.is_empty() => {
            calls.iter().map(|call| one(call, gas, height)).collect()
        }
        Ok(call @ Value::Object(_)) => one(&call, gas, height),
        Ok(_) => refusal(&Value::Null, -32_600, "invalid request"),
        Err(_) => refusal(&Value::Null, -32_700, "parse error"),
    };
    json(StatusCode::OK, &answer)
}

fn one(call: &Value, gas: Gas, height: u64) -> Value {
    let id = call.get("id").unwrap_or(&Value::Null);
    let result = match call.get("method").and_then(Value::as_str) {
        Some("eth_blockNumber") => Ok(object!(hex(height))),
        Some("eth_feeHistory") => fee_history(call.get("params"), gas, height),
        Some(_) => return refusal(id, -32_601, "the method does not exist/is not available"),
        None => return refusal(id, -32_600, "invalid request"),
    };
    match result {
        Ok(result) => object!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(why) => refusal(id, -32_602, why),
    }
}

fn refusal(id: &Value, code: i32, message: &str) -> Value {
    object!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

fn fee_history(params: Option<&Value>, gas: Gas, height: u64) -> Result<Value, &'static str> {
    let at = |place: usize| params.and_then(|params| params.get(place));
    let count = at(0).and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
    let count = count.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let count = count.ok_or("invalid argument 0: hex string without 0x prefix")?;
    let count = count.clamp(1, BLOCKS_MAX);
    let percentiles = at(2).and_then(Value::as_array).ok_or("missing value for argument 2")?;
    let tips: Vec<String> = percentiles
        .iter()
        .map(|percentile| {
            hex(match percentile.as_f64() {
                Some(low) if low < 33.0 => gas.slow_tip,
                Some(high) if high > 66.0 => gas.fast_tip,
                _ => gas.standard_tip,
            })
        })
        .collect();
    let blocks = || 0..count;
    Ok(object!({
        "oldestBlock": hex(height.saturating_sub(count - 1)),
        "baseFeePerGas": (0..=count).map(|_| hex(gas.base_fee)).collect::<Vec<_>>(),
        "gasUsedRatio": blocks().map(|_| 0.5).collect::<Vec<_>>(),
        "baseFeePerBlobGas": (0..=count).map(|_| "0x1").collect::<Vec<_>>(),
        "blobGasUsedRatio": blocks().map(|_| 0.5).collect::<Vec<_>>(),
        "reward": blocks().map(|_| &tips).collect::<Vec<_>>(),
    }))
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}
