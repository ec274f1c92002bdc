//! Coinbase, Kraken and DefiLlama as a client sees them.

use tokio::time::advance;

use super::*;

fn close(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| {
        value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse::<f64>().unwrap())
    };
    (number(one) / number(other) - 1.0).abs() < 0.01
}

#[tokio::test(start_paused = true)]
async fn coinbase_has_a_ticker_and_statistics_of_each_product() {
    let client = client();
    let ticker = client.get("/coinbase/products/BTC-USD/ticker").await.ok();
    let fields = "ask bid conversions_volume price rfq_volume size time trade_id volume";
    assert_eq!(keys(&ticker), fields.split(' ').collect::<Vec<_>>());
    assert_eq!(ticker["time"], "2025-09-12T07:18:29.100Z");
    assert_eq!(decimals(&ticker["price"]), 2);
    let stats = client.get("/coinbase/products/BTC-USD/stats").await.ok();
    assert_eq!(keys(&stats), ["high", "last", "low", "open", "volume", "volume_30day"]);
    assert_eq!(stats["last"], ticker["price"]);
    assert_eq!(stats["volume"], ticker["volume"]);
    for product in ["BTC-JPY", "NOPE-USD", "BTCUSD", "BTC-BTC", "btc-usd"] {
        let answer = client.get(&format!("/coinbase/products/{product}/ticker")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{product}");
        assert_eq!(answer.json()["message"], "NotFound", "{product}");
    }
}

#[tokio::test(start_paused = true)]
async fn kraken_answers_under_names_of_its_own() {
    let client = client();
    let asked = "XBTUSD,ETH/USD,XETHXXBT,DOGEUSD,XBTUSDT,SOLEUR";
    let answer = client.get(&format!("/kraken/0/public/Ticker?pair={asked}")).await.ok();
    assert_eq!(answer["error"], Value::Array(Vec::new()));
    let names = ["SOLEUR", "XBTUSDT", "XDGUSD", "XETHXXBT", "XETHZUSD", "XXBTZUSD"];
    assert_eq!(keys(&answer["result"]), names);
    let row = &answer["result"]["XXBTZUSD"];
    assert_eq!(keys(row), ["a", "b", "c", "h", "l", "o", "p", "t", "v"]);
    assert_eq!(decimals(&row["c"][0]), 5);
    for (key, length) in [("a", 3), ("b", 3), ("c", 2), ("v", 2), ("h", 2), ("l", 2)] {
        assert_eq!(row[key].as_array().unwrap().len(), length, "{key}");
    }
}

#[tokio::test]
async fn kraken_reports_errors_with_status_200() {
    let client = client();
    let answer = client.get("/kraken/0/public/Ticker?pair=XBTUSD,NOPEUSD").await.ok();
    assert_eq!(answer["error"][0], "EQuery:Unknown asset pair");
    assert_eq!(keys(&answer), ["error"]);
    let all = client.get("/kraken/0/public/Ticker").await.ok();
    // 30 assets in 6 currencies, but neither BTC in BTC nor ETH in ETH.
    assert_eq!(keys(&all["result"]).len(), 178);
}

#[tokio::test(start_paused = true)]
async fn the_venues_show_one_market() {
    let client = client();
    advance(Duration::from_secs(3_600)).await;
    let binance = client.get("/binance/api/v3/ticker/price?symbol=ETHUSDC").await.ok();
    let coinbase = client.get("/coinbase/products/ETH-USD/ticker").await.ok();
    let kraken = client.get("/kraken/0/public/Ticker?pair=ETHUSD").await.ok();
    let llama = client.get("/defillama/prices/current/coingecko:ethereum").await.ok();
    for other in [
        &coinbase["price"],
        &kraken["result"]["XETHZUSD"]["c"][0],
        &llama["coins"]["coingecko:ethereum"]["price"],
    ] {
        assert!(close(&binance["price"], other), "{} {other}", binance["price"]);
    }
}

#[tokio::test(start_paused = true)]
async fn defillama_names_tokens_as_they_were_asked_for() {
    let client = client();
    let uni = "ethereum:0x1F9840a85d5aF5bf1D1762F925BDADdC4201F984";
    let asked = format!("coingecko:bitcoin,{uni},coingecko:nope,solana:x,bitcoin");
    let answer = client.get(&format!("/defillama/prices/current/{asked}?searchWidth=4h")).await;
    let answer = answer.ok();
    assert_eq!(keys(&answer["coins"]), ["coingecko:bitcoin", uni]);
    let bitcoin = &answer["coins"]["coingecko:bitcoin"];
    assert_eq!(keys(bitcoin), ["confidence", "price", "symbol", "timestamp"]);
    assert_eq!(bitcoin["timestamp"], EPOCH / 1_000_000);
    assert_eq!(answer["coins"][uni]["decimals"], 18);
}

#[tokio::test(start_paused = true)]
async fn what_is_locked_on_a_chain_follows_the_price_of_its_coin() {
    let client = client();
    let of = async |name: &str| {
        let chains = client.get("/defillama/v2/chains").await.ok();
        let mut rows = chains.as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).unwrap().clone()
    };
    let first = of("Ethereum").await;
    assert_eq!(keys(&first), ["chainId", "cmcId", "gecko_id", "name", "tokenSymbol", "tvl"]);
    assert_eq!((&first["chainId"], &first["cmcId"]), (&1.into(), &"1027".into()));
    assert_eq!(of("Base").await["gecko_id"], Value::Null);
    let locked = first["tvl"].as_f64().unwrap();
    assert!((40e9..80e9).contains(&locked), "{locked}");
    advance(Duration::from_secs(10)).await;
    assert_ne!(of("Ethereum").await["tvl"], first["tvl"]);
}

#[tokio::test]
async fn mempool_tells_what_waits() {
    let client = client();
    let waiting = client.get("/mempool/api/mempool").await.ok();
    assert_eq!(keys(&waiting), ["count", "fee_histogram", "total_fee", "vsize"]);
    assert!(waiting["count"].as_u64() > Some(1_000) && waiting["vsize"].is_u64(), "{waiting}");
    assert_eq!(waiting["fee_histogram"].as_array().unwrap().len(), 5);
}
