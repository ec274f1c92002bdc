//! What the floor needs of a WebSocket: an answer to the handshake, the topics that are asked, and
//! frames.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{SystemTime, UNIX_EPOCH},
};

use tickwire::protocol::frame::{Opcode, frame};

/// Answers the handshake of a client of the load generator and reads which topics it wants.
pub fn accept(stream: &mut TcpStream) -> Vec<usize> {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "a client that left");
        buffer.extend_from_slice(&chunk[..read]);
    };
    buffer.drain(..head_end);
    stream
        .write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
              Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        )
        .unwrap();
    loop {
        // Masked with zeros by the load generator; the topics end the interesting part.
        if let Some(topics) = topics(&buffer) {
            return topics;
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "a client that left");
        buffer.extend_from_slice(&chunk[..read]);
    }
}

/// The numbers of `"bench.N"` in a request, once it is complete.
pub fn topics(request: &[u8]) -> Option<Vec<usize>> {
    let text = String::from_utf8_lossy(request);
    text.ends_with("}}").then(|| {
        let parts = text.split("\"bench.").skip(1);
        parts.map(|part| part.split('"').next().unwrap().parse().unwrap()).collect()
    })
}

/// The message that Tickwire's synthetic feed makes, as text.
pub fn update(topic: usize, seq: u64, payload_bytes: usize) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let head = format!(
        r#"{{"type":"update","topic":"bench.{topic}","seq":{seq},"ts":{now},"rx":{now},"source":"bench","data":{{"n":{seq},"pad":""#
    );
    let pad = payload_bytes.saturating_sub(head.len() + 3);
    format!("{head}{}\"}}}}", "x".repeat(pad))
}

/// The same as a frame.
pub fn update_frame(topic: usize, seq: u64, payload_bytes: usize) -> bytes::Bytes {
    frame(Opcode::Text, update(topic, seq, payload_bytes).as_bytes())
}
