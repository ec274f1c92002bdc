//! Server-Sent Events: the same delivery, readable by `curl -N`.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{Event, eventually, server, soon};

/// The number that an id names for `topic`.
fn named(id: &str, topic: &str) -> Option<u64> {
    let start = format!("{topic}=");
    id.split(';').find_map(|part| part.strip_prefix(&start)).map(|seq| seq.parse().unwrap())
}

#[tokio::test]
async fn a_stream_is_a_welcome_the_rows_and_then_what_a_websocket_would_get() {
    let server = server().synthetic(1, 200).start().await;
    server.metric_reaches("tickwire_published_total", "other", 3.0).await;
    let mut events = server.stream("topics=bench.0,nope.&mode=every", None).await;
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ("content-encoding", ""),
    ] {
        assert_eq!(events.header(name), value, "{name}");
    }
    assert_eq!(events.block().await.as_deref(), Some("retry: 2000"));
    let welcome = events.next().await.unwrap();
    assert_eq!((&*welcome.kind, &welcome.data["type"]), ("welcome", &json!("welcome")));
    let result = events.next().await.unwrap();
    assert_eq!(result.kind, "result");
    let rows = &result.data["topics"];
    assert_eq!((&rows[0]["topic"], &rows[0]["ok"]), (&json!("bench.0"), &json!(true)));
    assert_eq!(rows[1]["error"]["code"], "bad_topic");
    let snapshot = events.next().await.unwrap();
    assert_eq!((&*snapshot.kind, &snapshot.data["seq"]), ("snapshot", &rows[0]["seq"]));
    let mut seq = rows[0]["seq"].as_u64().unwrap();
    let mut ids = 0;
    while ids < 50 {
        let Event { kind, data, id } = events.next().await.unwrap();
        seq += 1;
        assert_eq!((&*kind, &data["seq"]), ("update", &json!(seq)));
        if let Some(id) = id {
            ids += 1;
            assert!(id.starts_with(welcome.data["epoch"].as_str().unwrap()), "{id}");
            assert_eq!(named(&id, "bench.0"), Some(seq), "{id}");
        }
    }
    server.metric_reaches("tickwire_connections", "sse", 1.0).await;
    server.metric_reaches("tickwire_delivered_total", "sse", 50.0).await;
    assert_eq!(server.metric("tickwire_connections", "\"ws\"").await, Some(0.0));
    drop(events);
    for gauge in ["tickwire_connections", "tickwire_subscriptions"] {
        eventually(gauge, || async { (server.metric(gauge, "").await == Some(0.0)).then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn a_reconnect_with_its_last_id_has_no_hole() {
    let server = server().synthetic(2, 400).start().await;
    let query = "topics=bench.0,bench.1&mode=every&status=false";
    let mut id = None;
    for _ in 0..5 {
        let mut events = server.stream(query, id.as_deref()).await;
        let mut known = [0, 1].map(|n| named(id.as_deref()?, &format!("bench.{n}")));
        let rows = events.next_of("result").await.data["topics"].take();
        for (row, known) in rows.as_array().unwrap().iter().zip(known) {
            assert_eq!(row["recovered"].as_bool(), known.map(|_| true), "{row}");
        }
        let mut flushes = 0;
        while flushes < 20 || known.contains(&None) {
            let event = events.next().await.unwrap();
            follow(&event, &mut known);
            if let Some(new) = event.id {
                flushes += 1;
                id = Some(new);
            }
        }
    }
}

/// Every number comes, is told as missing, or is the snapshot's.
fn follow(event: &Event, known: &mut [Option<u64>; 2]) {
    let number = |name: &str| event.data[name].as_u64().unwrap();
    let (first, last) = match &*event.kind {
        "snapshot" | "update" => (number("seq"), number("seq")),
        "gap" => (number("from"), number("to")),
        _ => return,
    };
    let topic = usize::from(event.data["topic"] == "bench.1");
    assert!(known[topic].is_none_or(|seq| seq + 1 == first), "{known:?} {event:?}");
    known[topic] = Some(last);
}

#[tokio::test]
async fn an_id_from_before_a_restart_or_out_of_reach_begins_with_a_snapshot() {
    let server = server().with("[hub]\nhistory = 5").synthetic(1, 200).start().await;
    server.metric_reaches("tickwire_published_total", "other", 20.0).await;
    let mut events = server.stream("topics=bench.0", None).await;
    let welcome = events.next().await.unwrap();
    let epoch = welcome.data["epoch"].as_str().unwrap();
    let query = "topics=bench.0&mode=every&snapshot=false";
    for id in [format!("{epoch};bench.0=1"), "another;bench.0=3".into()] {
        let mut events = server.stream(query, Some(&id)).await;
        let row = events.next_of("result").await.data["topics"][0].take();
        assert_eq!(row["recovered"], false, "{row}");
        let snapshot = events.next().await.unwrap();
        assert_eq!((&*snapshot.kind, &snapshot.data["seq"]), ("snapshot", &row["seq"]));
    }
    // Where no header can be set, a parameter does as well.
    let now = server.json("/v1/topics?pattern=bench.0").await["topics"][0]["seq"].as_u64().unwrap();
    let query = format!("{query}&last_event_id={epoch};bench.0%3D{now};other%3D1");
    let mut events = server.stream(&query, None).await;
    assert_eq!(events.next_of("result").await.data["topics"][0]["recovered"], true);
    assert_eq!(events.next_of("update").await.data["seq"], now + 1);
}

#[tokio::test]
async fn an_id_that_is_none_is_told_and_the_stream_begins_anew() {
    let server = server().synthetic(1, 200).start().await;
    server.metric_reaches("tickwire_published_total", "other", 1.0).await;
    let mut events = server.stream("topics=bench.0", Some("12345")).await;
    assert_eq!(events.next_of("notice").await.data["code"], "unrecoverable");
    events.next_of("snapshot").await;
}

#[tokio::test]
async fn patterns_have_no_ids() {
    let server = server().synthetic(2, 200).start().await;
    let mut events = server.stream("topics=bench.*,bench.0", None).await;
    for _ in 0..50 {
        assert_eq!(events.next().await.unwrap().id, None);
    }
}

#[tokio::test]
async fn options_are_those_of_subscribe() {
    let server = server().synthetic(1, 1000).start().await;
    server.metric_reaches("tickwire_published_total", "other", 1.0).await;
    let query = "topics=bench.0&snapshot=false&status=false&max_rate=20";
    let mut events = server.stream(query, None).await;
    let mut last = 0;
    for _ in 0..5 {
        let event = events.next_of("update").await;
        let seq = event.data["seq"].as_u64().unwrap();
        assert!(seq > last + 1, "20 a second of 1000");
        last = seq;
    }
    let query = "topics=bench.0&snapshot=false&mode=every&fields=n\
                 &filter=data.n%20%25%2010%20%3D%3D%200&min_change=%7B%22field%22:%22n%22,%22abs%22:20%7D";
    let mut events = server.stream(query, None).await;
    let mut last = None;
    for _ in 0..5 {
        let data = events.next_of("update").await.data["data"].take();
        assert_eq!(data.as_object().unwrap().len(), 1, "{data}");
        let n = data["n"].as_i64().unwrap();
        assert!(n % 10 == 0 && last.is_none_or(|last| n - last == 20), "{n} after {last:?}");
        last = Some(n);
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name() {
    let server = server().with("[limits]\ntopics_per_request = 3").start().await;
    for (query, code, said) in [
        ("", "bad_request", "topics"),
        ("topics=", "bad_request", "topics"),
        ("topics=a&mod=every", "bad_request", "mod"),
        ("topics=a&mode=all", "bad_request", "all"),
        ("topics=a&mode=every&max_rate=5", "bad_request", "max_rate"),
        ("topics=a&max_rate=NaN", "bad_request", "max_rate"),
        ("topics=a&max_rate=fast", "bad_request", "max_rate"),
        ("topics=a&snapshot=maybe", "bad_request", "snapshot"),
        ("topics=a&fields=a,,b", "bad_request", "fields"),
        ("topics=a&min_change=5", "bad_request", "min_change"),
        ("topics=a&min_change=%7B%22field%22:%22x%22,%22by%22:1%7D", "bad_request", "by"),
        ("topics=a&topics=b", "bad_request", "topics"),
        ("topics=a,b,c,d", "too_many_topics", "3"),
        ("topics=a..b,%00", "bad_topic", "empty"),
    ] {
        let (status, body) = server.get(&format!("/v1/stream?{query}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{query}: {body}");
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{query}: {detail}");
    }
    eventually("no stream to be left", || async {
        (server.metric("tickwire_connections", "sse").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn streams_count_as_connections() {
    let server = server().with("[limits]\nconnections = 1").synthetic(1, 100).start().await;
    let mut events = server.stream("topics=bench.0", None).await;
    events.next_of("update").await;
    let (status, body) = server.get("/v1/stream?topics=bench.0").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["code"]), (503, &json!("too_many_connections")));
    assert_eq!(body["retryable"], true);
    drop(events);
    server.metric_reaches("tickwire_connections", "sse", 0.0).await;
    eventually("a place", || async {
        let url = format!("http://{}/v1/stream?topics=bench.0", server.address());
        (reqwest::get(url).await.unwrap().status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_is_told_and_the_body_ends_in_order() {
    let server = server().synthetic(1, 100).start().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let mut events = server.stream("topics=bench.0&mode=every", None).await;
        events.next_of("update").await;
        streams.push(events);
    }
    let stopping = tokio::spawn(server.stop());
    for events in &mut streams {
        let notice = events.next_of("notice").await;
        assert_eq!(notice.data["code"], "draining");
        assert!(notice.data["reconnect_after_ms"].is_u64());
        while events.next().await.is_some() {}
    }
    assert!(stopping.await.unwrap());
}

/// A client with a small buffer that asks for a stream and reads nothing.
async fn stopped(address: std::net::SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let request =
        format!("GET /v1/stream?topics=bench.0&mode=every HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn little_is_kept_for_a_client_that_stops_reading_and_it_learns_what_it_missed() {
    let server = server()
        .with("[delivery]\nwrite_deadline = \"60s\"\nsend_buffer = \"16KiB\"")
        .synthetic(1, 4000)
        .start()
        .await;
    let mut stream = stopped(server.address()).await;
    server.metric_reaches("tickwire_dropped_total", "overflow", 2000.0).await;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&text).contains("event: gap\n") {
        let read = soon("a gap", stream.read(&mut buffer)).await.unwrap();
        assert!(read > 0, "the stream has ended");
        text.extend_from_slice(&buffer[..read]);
        assert!(text.len() < 1 << 20, "too much was kept");
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_off_and_another_does_not_notice() {
    let server = server()
        .with("[delivery]\nwrite_deadline = \"1s\"\nsend_buffer = \"16KiB\"")
        .synthetic(1, 4000)
        .start()
        .await;
    let mut healthy = server.stream("topics=bench.0", None).await;
    let stream = stopped(server.address()).await;
    server.metric_reaches("tickwire_connections", "sse", 2.0).await;
    let cut = server.metric_reaches("tickwire_errors_total", "slow_consumer", 1.0);
    let mut cut = std::pin::pin!(cut);
    loop {
        tokio::select! {
            () = &mut cut => break,
            _ = healthy.next_of("update") => {}
        }
    }
    eventually("its place to be free", || async {
        (server.metric("tickwire_connections", "sse").await == Some(1.0)).then_some(())
    })
    .await;
    drop(stream);
    healthy.next_of("update").await;
}

#[tokio::test]
async fn a_stopped_client_does_not_hold_up_a_drain() {
    let server = server()
        .with("drain_timeout = \"15s\"\n[delivery]\nwrite_deadline = \"60s\"\nsend_buffer = \"16KiB\"")
        .synthetic(1, 4000)
        .start()
        .await;
    let stream = stopped(server.address()).await;
    server.metric_reaches("tickwire_dropped_total", "overflow", 1.0).await;
    assert!(soon("the drain", server.stop()).await);
    drop(stream);
}

#[tokio::test]
async fn a_head_request_opens_nothing() {
    let server = server().synthetic(1, 100).start().await;
    let url = format!("http://{}/v1/stream?topics=bench.0", server.address());
    let response = reqwest::Client::new().head(url).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    eventually("no stream to be left", || async {
        (server.metric("tickwire_connections", "sse").await == Some(0.0)).then_some(())
    })
    .await;
    assert!(server.stop().await);
}
