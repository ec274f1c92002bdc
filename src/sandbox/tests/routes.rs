//! The routes, and the APIs other than Binance.

use tokio::time::advance;

use super::*;

#[tokio::test]
async fn every_route_exists_and_what_is_unknown_is_json_too() {
    let client = client();
    for (path, _) in ROUTES.iter().chain(STREAMS) {
        assert_ne!(client.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let listed = client.get("/").await.ok().as_array().unwrap().len();
    assert_eq!(listed, ROUTES.len() + STREAMS.len());
    for path in ["/nowhere", "/binance/api/v3/depth", "/mempool/"] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.json()["error"], "not found");
    }
}

#[tokio::test(start_paused = true)]
async fn coingecko_gives_what_the_flags_ask_for() {
    let client = client();
    let base = "/coingecko/api/v3/simple/price?vs_currencies=usd,btc,xyz&ids=ethereum,no-such-coin";
    let plain = client.get(base).await.ok();
    assert_eq!(keys(&plain), ["ethereum"]);
    assert_eq!(keys(&plain["ethereum"]), ["btc", "usd"]);
    let all = format!(
        "{base}&include_market_cap=true&include_24hr_vol=true&include_24hr_change=true\
         &include_last_updated_at=true&precision=full"
    );
    let row = &client.get(&all).await.ok()["ethereum"];
    let fields = "btc btc_24h_change btc_24h_vol btc_market_cap last_updated_at usd \
                  usd_24h_change usd_24h_vol usd_market_cap";
    assert_eq!(keys(row), fields.split(' ').collect::<Vec<_>>());
    assert_eq!(row["last_updated_at"], EPOCH / 1_000_000);
    for missing in ["simple/price?ids=bitcoin", "simple/price", "coins/markets"] {
        let answer = client.get(&format!("/coingecko/api/v3/{missing}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{missing}");
    }
}

#[tokio::test(start_paused = true)]
async fn coingecko_numbers_keep_their_digits() {
    let client = client();
    let usd = async |id: &str, precision: &str| {
        let query = format!("ids={id}&vs_currencies=usd&precision={precision}");
        let answer = client.get(&format!("/coingecko/api/v3/simple/price?{query}")).await.body;
        let (_, rest) = answer.split_once("\"usd\":").unwrap();
        rest.trim_end_matches('}').to_owned()
    };
    for (id, precision, expected) in
        [("bitcoin", "full", 6), ("bitcoin", "1", 1), ("shiba-inu", "full", 14)]
    {
        let digits = usd(id, precision).await;
        let (_, fraction) = digits.split_once('.').unwrap();
        assert_eq!(fraction.len(), expected, "{id} {digits}");
    }
    assert!(!usd("bitcoin", "0").await.contains('.'));
}

#[tokio::test(start_paused = true)]
async fn coingecko_says_when_nothing_has_changed() {
    let client = client();
    let uri = "/coingecko/api/v3/coins/markets?vs_currency=usd";
    let again = async |tag: &str| {
        let request = Request::get(uri).header("if-none-match", tag);
        client.send(request.body(Body::empty()).unwrap()).await
    };
    let first = client.get(uri).await;
    let tag = first.headers["etag"].to_str().unwrap();
    advance(Duration::from_millis(9_900)).await;
    let unchanged = again(tag).await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    advance(Duration::from_millis(100)).await;
    assert_eq!(again(tag).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn coingecko_markets_are_ranked_and_paged() {
    let client = client();
    let get = async |query: &str| {
        client.get(&format!("/coingecko/api/v3/coins/markets?vs_currency=usd&{query}")).await.ok()
    };
    let all = get("per_page=250").await;
    assert_eq!(all.as_array().unwrap().len(), 30);
    assert_eq!((&all[0]["id"], &all[0]["market_cap_rank"]), (&"bitcoin".into(), &1.into()));
    assert_eq!(keys(&all[0]).len(), 26);
    assert_eq!(all[0]["last_updated"], "2025-09-12T07:18:29.100Z");
    assert_eq!(get("per_page=10&page=2").await[0], all[10]);
    let one = get("ids=solana,nope").await;
    assert_eq!((one.as_array().unwrap().len(), &one[0]["symbol"]), (1, &"sol".into()));
    let unknown = client.get("/coingecko/api/v3/coins/markets?vs_currency=xyz").await;
    assert_eq!(unknown.json()["error"], "invalid vs_currency");
}

#[tokio::test(start_paused = true)]
async fn token_metrics_wraps_rows_with_the_real_fields() {
    let client = client();
    let first = async |path: &str| {
        let body = client.get(&format!("/tokenmetrics/v2/{path}")).await.ok();
        assert_eq!(keys(&body), ["data", "length", "message", "success"]);
        assert_eq!((&body["success"], &body["length"]), (&true.into(), &1.into()), "{path}");
        body["data"][0].clone()
    };
    let cases = [
        (
            "tokens?symbol=btc",
            "CATEGORY_LIST EXCHANGE_LIST TM_LINK TOKEN_ID TOKEN_NAME TOKEN_SYMBOL",
        ),
        ("price?token_id=3375", "CURRENT_PRICE TOKEN_ID TOKEN_NAME TOKEN_SYMBOL"),
        (
            "trading-signals?token_id=3375",
            "DATE HOLDING_RETURNS TM_INVESTOR_GRADE TM_LINK TM_TRADER_GRADE TOKEN_ID TOKEN_NAME \
             TOKEN_SYMBOL TOKEN_TREND TRADING_SIGNAL TRADING_SIGNALS_RETURNS tm_link",
        ),
        (
            "hourly-trading-signals?token_id=3375",
            "CLOSE POSITION SIGNAL TIMESTAMP TOKEN_ID TOKEN_NAME TOKEN_SYMBOL",
        ),
        (
            "trader-grades?token_id=3375",
            "DATE QUANT_GRADE TA_GRADE TM_TRADER_GRADE TM_TRADER_GRADE_24H_PCT_CHANGE TOKEN_ID \
             TOKEN_NAME TOKEN_SYMBOL",
        ),
        (
            "tm-grade?token_id=3375",
            "FUNDAMENTAL_GRADE FUNDAMENTAL_GRADE_CLASS MOMENTUM TM_GRADE TM_GRADE_24h_PCT_CHANGE \
             TM_GRADE_SIGNAL TM_TRADER_GRADE_24H_CHANGE TOKEN_ID TOKEN_NAME TOKEN_SYMBOL",
        ),
        (
            "hourly-ohlcv?token_id=3375",
            "CLOSE HIGH LOW OPEN TIMESTAMP TOKEN_ID TOKEN_NAME TOKEN_SYMBOL VOLUME",
        ),
    ];
    for (path, fields) in cases {
        let row = first(path).await;
        assert_eq!(keys(&row), fields.split(' ').collect::<Vec<_>>());
        assert_eq!(row["TOKEN_ID"], 3375);
    }
    let signal = first("trading-signals?symbol=ETH").await;
    assert_eq!(signal["DATE"], "2025-09-12T00:00:00.000Z");
    assert!(matches!(signal["TRADING_SIGNAL"].as_i64(), Some(-1..=1)));
    assert_eq!(first("daily-ohlcv?symbol=ETH").await["TIMESTAMP"], "2025-09-12T00:00:00.000Z");
    assert!(first("investor-grades?symbol=ETH").await["VC_SCORE"].is_null());
    assert!(first("market-metrics").await["TOTAL_CRYPTO_MCAP"].as_f64() > Some(1e12));
    assert_eq!(first("indices").await["TICKER"], "TM100");
    assert!(first("sentiments").await["MARKET_SENTIMENT_LABEL"].is_string());
}

#[tokio::test]
async fn token_metrics_filters_and_pages() {
    let client = client();
    let ids = async |query: &str| {
        let body = client.get(&format!("/tokenmetrics/v2/tokens?{query}")).await.ok();
        let rows = body["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["TOKEN_ID"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids("token_id=3306,3375").await, [3375, 3306]);
    assert_eq!(ids("token_id=1").await, Vec::<u64>::new());
    let all = ids("").await;
    assert_eq!(ids("limit=1000").await, all);
    assert_eq!(ids("limit=10&page=1").await, all[..10]);
    assert_eq!(ids("limit=10&page=0").await, all[..10]);
    assert_eq!(ids("limit=20&page=2").await, all[20..]);
    for refused in ["price", "hourly-trading-signals", "tokens?limit=x"] {
        let answer = client.get(&format!("/tokenmetrics/v2/{refused}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["success"], false);
    }
}

#[tokio::test]
async fn mempool_gives_whole_fees_and_the_height_as_text() {
    let client = client();
    let fees = client.get(FEES).await.ok();
    assert_eq!(keys(&fees), ["economyFee", "fastestFee", "halfHourFee", "hourFee", "minimumFee"]);
    assert!(fees.as_object().unwrap().values().all(|fee| fee.as_u64() >= Some(1)));
    let height = client.get("/mempool/api/blocks/tip/height").await;
    assert_eq!(height.headers["content-type"], "text/plain; charset=utf-8");
    assert!(height.body.parse::<u64>().unwrap() >= 900_000);
}

#[tokio::test(start_paused = true)]
async fn a_coin_is_worth_exactly_one_of_itself() {
    let client = client();
    let query = "ids=bitcoin,ethereum&vs_currencies=btc&include_24hr_change=true";
    let rows = client.get(&format!("/coingecko/api/v3/simple/price?{query}")).await.ok();
    assert_eq!(
        (&rows["bitcoin"]["btc"], &rows["bitcoin"]["btc_24h_change"]),
        (&1.0.into(), &0.0.into())
    );
    assert_ne!(rows["ethereum"]["btc_24h_change"], 0.0);
}
