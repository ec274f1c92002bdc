//! How Token Metrics' ids are found.

use super::*;

fn feed(rest: &str) -> Box<dyn Provider> {
    let text = format!("name = 'tm'\nprovider = 'token_metrics'\n{rest}");
    provider(&toml::from_str(&text).unwrap())
}

fn prepare(provider: &mut dyn Provider, body: impl Into<Bytes>) -> Result<(), DecodeError> {
    let request = provider.preparation().remove(0);
    provider.prepared(&request, &response(body))
}

/// A full page of tokens that nobody asked for, and one more.
fn full_page(symbol: &str, id: usize) -> String {
    let mut rows = vec![r#"{"TOKEN_ID":1,"TOKEN_SYMBOL":"OTHER"}"#.to_owned(); 99];
    rows.push(format!(r#"{{"TOKEN_ID":{id},"TOKEN_SYMBOL":"{symbol}"}}"#));
    format!(r#"{{"success":true,"data":[{}]}}"#, rows.join(","))
}

#[test]
fn the_first_token_with_the_symbol_wins_and_the_unknown_is_told() {
    let mut tm = feed("symbols = ['BTC-USD', 'ETH-USD', 'NOPE-USD']");
    let lookup = ["/tokens?symbol=BTC,ETH,NOPE&limit=100&page=1 x-api-key weight=0"];
    assert_eq!(asked(&tm.preparation()), lookup);
    let tokens = fs::read(fixture("token_metrics", "tokens.json")).unwrap();
    assert_eq!(prepare(&mut *tm, tokens), Ok(()));
    assert_eq!(tm.preparation(), []);
    let requests = tm.requests();
    assert_eq!(requests[0].query[0], ("token_id".into(), "3375,3306".to_owned()));
    let body = r#"{"success":true,"data":[{"TOKEN_ID":3375,"CURRENT_PRICE":1.0}]}"#;
    let batch = tm.decode(&requests[0], &response(body)).unwrap();
    assert_eq!(batch.ticks.len(), 1);
    let missing = ["ETH-USD is not in the answer", "NOPE-USD is not known to /tokens"];
    assert_eq!(batch.missing, missing);
}

#[test]
fn ids_of_the_configuration_are_not_asked_for() {
    let tm = feed("symbols = ['BTC-USD', 'ETH-USD']\nids = { BTC-USD = 3375 }");
    let lookup = ["/tokens?symbol=ETH&limit=100&page=1 x-api-key weight=0"];
    assert_eq!(asked(&tm.preparation()), lookup);
    let tm = feed("symbols = ['BTC-USD']\nids = { BTC-USD = 3375 }");
    assert_eq!(tm.preparation(), []);
}

#[test]
fn the_next_page_is_asked_for_until_all_are_found() {
    let mut tm = feed("symbols = ['BTC-USD', 'ETH-USD']");
    assert_eq!(prepare(&mut *tm, full_page("btc", 7)), Ok(()));
    let next = ["/tokens?symbol=BTC,ETH&limit=100&page=2 x-api-key weight=0"];
    assert_eq!(asked(&tm.preparation()), next);
    assert_eq!(prepare(&mut *tm, full_page("ETH", 8)), Ok(()));
    assert_eq!(tm.preparation(), []);
    assert_eq!(tm.requests()[0].query[0], ("token_id".into(), "7,8".to_owned()));
}

#[test]
fn pages_without_end_are_given_up() {
    let mut tm = feed("symbols = ['BTC-USD', 'ETH-USD']");
    let pages = (0..100).take_while(|_| {
        !tm.preparation().is_empty() && prepare(&mut *tm, full_page("BTC", 7)).is_ok()
    });
    assert_eq!(pages.count(), 10);
}

#[test]
fn when_none_is_known_there_is_no_data_and_the_first_page_is_asked_again() {
    let mut tm = feed("symbols = ['NOPE-USD']");
    let error = prepare(&mut *tm, r#"{"success":true,"data":[]}"#).unwrap_err();
    assert_eq!(error.reason, Reason::NoData);
    assert_eq!(tm.preparation().len(), 1);
    let error = prepare(&mut *tm, "<html>").unwrap_err();
    assert_eq!(error.reason, Reason::BadBody);
}
