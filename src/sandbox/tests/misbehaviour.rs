//! Faults, and the server on a real socket.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::*;
use crate::shutdown;

#[tokio::test]
async fn too_many_requests_are_refused_in_the_words_of_each_api() {
    let client = client();
    client.misbehave("*", FaultKind::TooManyRequests);
    for (path, kind) in [(FEES, "text/html; charset=utf-8"), (PRICE, "application/json")] {
        let answer = client.get(path).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers["retry-after"], "5");
        assert_eq!(answer.headers["content-type"], kind);
    }
    client.switch.set(vec![Fault { retry_after: None, ..fault("*", FaultKind::TooManyRequests) }]);
    assert!(!client.get(PRICE).await.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn errors_and_pages_take_the_place_of_answers() {
    let client = client();
    client.misbehave("/binance/*", FaultKind::ServerError);
    assert_eq!(client.get(PRICE).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(client.get(FEES).await.status, StatusCode::OK);
    client.misbehave("/binance/*", FaultKind::Html);
    let page = client.get(PRICE).await;
    assert_eq!((page.status, page.body.starts_with("<!DOCTYPE")), (StatusCode::OK, true));
    client.switch.set(Vec::new());
    client.get(PRICE).await.ok();
}

#[tokio::test(start_paused = true)]
async fn slow_is_three_seconds_and_a_hang_ends_some_time() {
    let client = client();
    let began = Instant::now();
    client.misbehave("*", FaultKind::Slow);
    client.get(PRICE).await.ok();
    assert_eq!(began.elapsed().as_secs(), 3);
    client.misbehave("*", FaultKind::Hang);
    let answer = client.get(PRICE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(began.elapsed().as_secs(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_answer_is_the_first_half_of_the_right_one() {
    let client = client();
    let whole = client.get(PRICE).await.body;
    client.misbehave("*", FaultKind::Truncated);
    let half = client.get(PRICE).await;
    assert_eq!(half.body, whole[..whole.len() / 2]);
    assert_eq!(half.headers["content-length"], half.body.len().to_string());
}

#[tokio::test(start_paused = true)]
async fn a_wish_for_a_stream_where_there_is_none_saves_no_answer_from_its_fault() {
    let client = client();
    let whole = client.get(PRICE).await.body;
    client.misbehave("*", FaultKind::Truncated);
    let request = Request::get(PRICE).header("upgrade", "websocket").body(Body::empty()).unwrap();
    assert_eq!(client.send(request).await.body, whole[..whole.len() / 2]);
}

/// A sandbox on a real socket, its way to stop, and its end.
async fn serving() -> (Sandbox, shutdown::Trigger, Shutdown) {
    let (trigger, shutdown) = shutdown::channel();
    (bind(&Config::default()).await.unwrap(), trigger, shutdown)
}

async fn ask(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: sandbox\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn it_answers_on_a_socket_and_stops_when_told() {
    let (sandbox, trigger, shutdown) = serving().await;
    let (addr, switch) = (sandbox.addr(), sandbox.faults());
    assert_eq!(sandbox.base_url(), format!("http://127.0.0.1:{}", addr.port()));
    let client = async {
        let answer = ask(addr, PRICE).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        switch.set(vec![fault("*", FaultKind::Truncated)]);
        let (head, body) = {
            let answer = ask(addr, PRICE).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            (head.to_owned(), body.to_owned())
        };
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(serde_json::from_str::<Value>(&body).is_err());
        assert_eq!(switch.requests("/binance/api/v3/ticker/price"), 2);
        trigger.advance(Stage::Closing);
    };
    tokio::join!(sandbox.serve(shutdown), client);
}

#[tokio::test]
async fn it_stops_in_time_though_clients_hang() {
    let (sandbox, trigger, shutdown) = serving().await;
    let (addr, switch) = (sandbox.addr(), sandbox.faults());
    switch.set(vec![fault("*", FaultKind::Hang)]);
    let _silent = TcpStream::connect(addr).await.unwrap();
    let close = async {
        switch.reached("/mempool/*", 1).await;
        let told = Instant::now();
        trigger.advance(Stage::Closing);
        told
    };
    let (_, answer, told) = tokio::join!(sandbox.serve(shutdown), ask(addr, FEES), close);
    assert_eq!(answer, "");
    assert!(told.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_symbol_that_is_not_simulated_is_refused_by_name() {
    let config = Config { symbols: vec!["NOPE".to_owned()], ..Config::default() };
    let error = bind(&config).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("NOPE"));
}
