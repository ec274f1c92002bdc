//! Binance, and what holds for all prices.

use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn binance_tickers_have_the_real_fields_and_fixed_decimals() {
    let client = client();
    let full = client.get("/binance/api/v3/ticker/24hr?symbol=BTCUSDT").await.ok();
    let fields = "askPrice askQty bidPrice bidQty closeTime count firstId highPrice lastId \
                  lastPrice lastQty lowPrice openPrice openTime prevClosePrice priceChange \
                  priceChangePercent quoteVolume symbol volume weightedAvgPrice";
    assert_eq!(keys(&full), fields.split(' ').collect::<Vec<_>>());
    assert_eq!(full["closeTime"], EPOCH / 1_000);
    assert_eq!(full["openTime"], EPOCH / 1_000 - 86_400_000);
    assert_eq!(decimals(&full["lastPrice"]), 2);

    let mini = client.get("/binance/api/v3/ticker/24hr?symbol=BTCUSDT&type=MINI").await.ok();
    assert_eq!(keys(&mini).len(), 12);
    let price = client.get(PRICE).await.ok();
    assert_eq!(keys(&price), ["price", "symbol"]);
    assert_eq!(price["price"], full["lastPrice"]);
    let book = client.get("/binance/api/v3/ticker/bookTicker?symbol=SHIBUSDT").await.ok();
    assert_eq!(keys(&book), ["askPrice", "askQty", "bidPrice", "bidQty", "symbol"]);
    assert_eq!(decimals(&book["bidPrice"]), 10);
}

#[tokio::test]
async fn binance_answers_lists_in_the_order_asked() {
    let client = client();
    let both = "/binance/api/v3/ticker/price?symbols=%5B%22ETHUSDT%22,%22BTCUSDC%22%5D";
    let rows = client.get(both).await.ok();
    assert_eq!([&rows[0]["symbol"], &rows[1]["symbol"]], ["ETHUSDT", "BTCUSDC"]);
    let one = client.get("/binance/api/v3/ticker/price?symbols=%5B%22ETHUSDT%22%5D").await.ok();
    assert_eq!(one.as_array().unwrap().len(), 1);
    let all = client.get("/binance/api/v3/ticker/price").await.ok();
    assert_eq!(all.as_array().unwrap().len(), 60);
}

#[tokio::test]
async fn binance_refuses_in_its_own_codes() {
    let client = client();
    let cases = [
        ("symbol=NOPEUSDT", -1121),
        ("symbols=%5B%22BTCUSDT%22,%22NOPE%22%5D", -1121),
        ("symbol=btcusdt", -1100),
        ("symbols=BTCUSDT", -1100),
        ("symbols=%5B%5D", -1100),
        ("symbol=BTCUSDT&symbols=%5B%22BTCUSDT%22%5D", -1128),
    ];
    for (query, code) in cases {
        let answer = client.get(&format!("/binance/api/v3/ticker/price?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json()["code"], code, "{query}");
    }
    let unknown = client.get("/binance/api/v3/ticker/24hr?symbol=NOPE").await;
    assert_eq!(unknown.body, r#"{"code":-1121,"msg":"Invalid symbol."}"#);
}

#[tokio::test(start_paused = true)]
async fn binance_counts_weight_by_the_minute() {
    let client = client();
    let used = async |path: &str| {
        client.get(path).await.headers["x-mbx-used-weight-1m"].to_str().unwrap().to_owned()
    };
    assert_eq!(used(PRICE).await, "2");
    assert_eq!(used("/binance/api/v3/ticker/bookTicker").await, "6");
    assert_eq!(used("/binance/api/v3/ticker/24hr").await, "86");
    assert_eq!(used("/binance/api/v3/ticker/24hr?symbol=BTCUSDT").await, "88");
    advance(Duration::from_secs(60)).await;
    assert_eq!(used(PRICE).await, "2");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_prices_however_often_it_is_asked() {
    let (often, once) = (client(), client());
    for _ in 0..40 {
        often.get(PRICE).await;
        advance(Duration::from_millis(250)).await;
    }
    let all = "/binance/api/v3/ticker/24hr";
    let (one, other) = (often.get(all).await, once.get(all).await);
    assert_eq!(one.body, other.body);
    advance(Duration::from_millis(100)).await;
    assert_ne!(once.get(all).await.body, one.body);
}
