//! What is not about coins: gas by JSON-RPC and by Etherscan, and the fear and greed index.

use serde_json::json;
use tokio::time::advance;

use super::*;

async fn rpc(client: &Client, body: &Value) -> Value {
    let request = Request::post("/evm").body(Body::from(body.to_string())).unwrap();
    client.send(request).await.ok()
}

#[tokio::test(start_paused = true)]
async fn a_node_answers_a_batch_call_by_call() {
    let client = client();
    let batch = json!([
        {"jsonrpc": "2.0", "id": 7, "method": "eth_blockNumber", "params": []},
        {"jsonrpc": "2.0", "id": "x", "method": "eth_feeHistory", "params": ["0x2", "latest", [10, 50, 90]]},
        {"jsonrpc": "2.0", "id": 8, "method": "eth_sign", "params": []},
        {"jsonrpc": "2.0", "id": 9, "method": "eth_feeHistory", "params": []},
    ]);
    let answers = rpc(&client, &batch).await;
    assert_eq!(answers[0]["id"], 7);
    assert!(answers[0]["result"].as_str().unwrap().starts_with("0x"));
    let history = &answers[1]["result"];
    assert_eq!(answers[1]["id"], "x");
    assert_eq!(history["baseFeePerGas"].as_array().unwrap().len(), 3);
    assert_eq!(history["reward"].as_array().unwrap().len(), 2);
    assert_eq!(history["reward"][0].as_array().unwrap().len(), 3);
    assert_eq!(answers[2]["error"]["code"], -32_601);
    assert_eq!(answers[3]["error"]["code"], -32_602);
    assert_eq!(rpc(&client, &json!([])).await["error"]["code"], -32_600);
    assert_eq!(rpc(&client, &json!(batch[0])).await["id"], 7);
}

#[tokio::test(start_paused = true)]
async fn a_node_has_a_new_block_every_ten_seconds() {
    let client = client();
    let ask = json!({"id": 1, "method": "eth_blockNumber"});
    let height = async || {
        let answer = rpc(&client, &ask).await;
        let text = answer["result"].as_str().unwrap().to_owned();
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    };
    let before = height().await;
    advance(Duration::from_secs(30)).await;
    assert_eq!(height().await, before + 3);
}

#[tokio::test(start_paused = true)]
async fn etherscan_answers_with_gwei_as_text_and_refuses_with_status_200() {
    let client = client();
    let get = async |query: &str| client.get(&format!("/etherscan/v2/api?{query}")).await.ok();
    let oracle = get("chainid=1&module=gastracker&action=gasoracle&apikey=x").await;
    assert_eq!((&oracle["status"], &oracle["message"]), (&"1".into(), &"OK".into()));
    let fields = "FastGasPrice LastBlock ProposeGasPrice SafeGasPrice gasUsedRatio suggestBaseFee";
    assert_eq!(keys(&oracle["result"]), fields.split(' ').collect::<Vec<_>>());
    let prices = ["suggestBaseFee", "SafeGasPrice", "ProposeGasPrice", "FastGasPrice"];
    assert!(prices.iter().all(|price| decimals(&oracle["result"][price]) == 9), "{oracle}");
    for query in ["module=gastracker&action=gasoracle", "chainid=1&module=x&action=gasoracle"] {
        let refusal = get(query).await;
        assert_eq!((&refusal["status"], &refusal["message"]), (&"0".into(), &"NOTOK".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_index_says_when_the_next_one_comes() {
    let client = client();
    let index = async || client.get("/fear_greed/fng/?limit=1").await.ok()["data"][0].clone();
    let first = index().await;
    assert_eq!(keys(&first), ["time_until_update", "timestamp", "value", "value_classification"]);
    let value: u8 = first["value"].as_str().unwrap().parse().unwrap();
    assert!(value <= 100);
    // 07:18:29.1: half of the minute is left.
    assert_eq!(first["time_until_update"], "31");
    advance(Duration::from_secs(31)).await;
    let second = index().await;
    assert_ne!(first["timestamp"], second["timestamp"]);
    let refused = client.get("/fear_greed/fng/?limit=x").await.ok();
    assert_eq!(refused["metadata"]["error"], "Invalid limit");
}
