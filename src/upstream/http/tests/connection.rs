//! Connections that break, and peers that do not speak HTTP.

use super::*;

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    let stream = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).map(|()| stream);
    drop(stream.unwrap());
}

#[tokio::test]
async fn a_kept_connection_that_ends_instead_of_answering_is_no_failure() {
    for end in [drop, reset] {
        let (address, count) = raw(move |index, mut stream| async move {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n5";
            stream.write_all(answer.as_bytes()).await.unwrap();
            if index == 0 {
                // Takes the second request on this connection.
                let mut head = [0; 2048];
                assert!(stream.read(&mut head).await.unwrap() > 0);
                end(stream);
            }
        })
        .await;
        let http = at(address);
        for _ in 0..2 {
            let answer = http.fetch(&path("/"), None).await.unwrap();
            assert_eq!(answer.body.as_deref(), Some(&b"5"[..]));
        }
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_server_that_only_resets_is_tried_twice_and_no_more() {
    let (address, count) = raw(|_, stream| async move { reset(stream) }).await;
    assert_eq!(fails(&at(address), &path("/")).await.reason, Reason::Connect);
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_body_is_a_bad_body_and_not_tried_again() {
    let (address, count) = raw(|_, mut stream| async move {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY_MAX}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // More than both sockets hold: once it is written, the head has been read.
        socket2::SockRef::from(&stream).set_send_buffer_size(4096).unwrap();
        stream.write_all(&[b' '; BODY_MAX / 2]).await.unwrap();
        reset(stream);
    })
    .await;
    assert_eq!(fails(&at(address), &path("/")).await.reason, Reason::BadBody);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_http_is_a_bad_body() {
    for said in
        ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\0: 1\r\n\r\n"]
    {
        let (address, count) = raw(move |_, mut stream| async move {
            stream.write_all(said.as_bytes()).await.unwrap();
        })
        .await;
        let error = fails(&at(address), &path("/")).await;
        assert_eq!(error.reason, Reason::BadBody, "{said:?}: {error}");
        assert_eq!(count.load(Ordering::SeqCst), 1, "{said:?}");
    }
}

#[tokio::test]
async fn headers_without_end_stop_at_a_bound() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let (address, _) = raw(move |_, mut stream| {
        let sent = counted.clone();
        async move {
            let line = format!("x-endless: {}\r\n", "x".repeat(1_000));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n").await);
            while stream.write_all(line.as_bytes()).await.is_ok() {
                sent.fetch_add(line.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let error = fails(&at(address), &path("/")).await;
    assert_eq!(error.reason, Reason::BadBody, "{error}");
    // What the sockets hold comes on top of what was read.
    assert!(sent.load(Ordering::SeqCst) < 8 << 20, "{sent:?}");
}
