//! One client of the load generator. It reads frames with as little work as can be, so that what
//! is measured is the server.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout_at,
};

use super::report::Sample;
use crate::units::{Micros, now_us};

/// What is read at once.
const BUFFER: usize = 32 << 10;
/// How long a handshake or an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// A mask of zeros: allowed, and nothing needs to be masked.
const MASKED: u8 = 0x80;

/// What every client does.
#[derive(Debug, Clone)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) path: String,
    pub(super) mode: String,
    pub(super) topics: usize,
    pub(super) topics_per_connection: usize,
    pub(super) filters: usize,
}

/// A client that has subscribed.
#[derive(Debug)]
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(load: &Load, number: usize) -> Result<Self> {
        let connecting = TcpStream::connect(load.address);
        let mut stream = tokio::time::timeout(PATIENCE, connecting).await??;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            load.path, load.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut client = Self { stream, buffer: Vec::with_capacity(BUFFER) };
        client.handshake().await.with_context(|| format!("client {number}"))?;
        client.subscribe(load, number).await?;
        Ok(client)
    }

    async fn handshake(&mut self) -> Result<()> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        if !self.buffer.starts_with(b"HTTP/1.1 101") {
            let head = String::from_utf8_lossy(self.buffer.get(..60).unwrap_or(&self.buffer));
            bail!("the handshake was refused: {head}");
        }
        self.buffer.drain(..head_end);
        Ok(())
    }

    async fn subscribe(&mut self, load: &Load, number: usize) -> Result<()> {
        let count = load.topics_per_connection;
        let topics: Vec<String> =
            (0..count).map(|n| format!("bench.{}", (number * count + n) % load.topics)).collect();
        let mut params = json!({"topics": topics, "mode": load.mode, "snapshot": false,
            "status": false});
        if let (Some(which), Some(params)) =
            (number.checked_rem(load.filters), params.as_object_mut())
        {
            let filter = format!("data.n > -{}", which + 1);
            params.insert("filter".to_owned(), filter.into());
        }
        let text = json!({"id": 1, "method": "subscribe", "params": params}).to_string();
        self.stream.write_all(&masked_frame(&text)).await?;
        Ok(())
    }

    async fn read(&mut self) -> Result<usize> {
        self.buffer.reserve(BUFFER);
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 {
            bail!("the server closed the connection");
        }
        Ok(read)
    }

    /// Reads until `end` and counts from `begin` on.
    pub(super) async fn run(mut self, begin: Instant, end: Instant) -> Result<Sample> {
        let mut sample = Sample::default();
        while let Ok(read) = timeout_at(end.into(), self.read()).await {
            read?;
            let counts = Instant::now() >= begin;
            let now = now_us();
            let mut at = 0;
            while let Some((start, stop)) = frame(self.buffer.get(at..).unwrap_or_default()) {
                let payload = self.buffer.get(at + start..at + stop).unwrap_or_default();
                if counts {
                    note(payload, now, &mut sample);
                }
                at += stop;
            }
            self.buffer.drain(..at);
        }
        Ok(sample)
    }
}

fn note(payload: &[u8], now: Micros, sample: &mut Sample) {
    if payload.starts_with(br#"{"type":"update""#) {
        if let Some(ts) = number_after(payload, br#""ts":"#) {
            sample.delivered(now - ts, payload.len());
        }
    } else if payload.starts_with(br#"{"type":"gap""#) {
        let lost = number_after(payload, br#""dropped":"#).unwrap_or(0);
        sample.lost(u64::try_from(lost).unwrap_or(0));
    }
}

fn number_after(text: &[u8], name: &[u8]) -> Option<i64> {
    let at = text.windows(name.len()).position(|bytes| bytes == name)? + name.len();
    let digits = text.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
    let mut number: i64 = 0;
    for digit in digits {
        number = number.checked_mul(10)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(number)
}

/// Where the payload of the first frame begins and ends, when all of it is there.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (start, len) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => {
            let length: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
            (10, usize::try_from(u64::from_be_bytes(length)).ok()?)
        }
        short => (2, usize::from(short)),
    };
    (bytes.len() >= start + len).then_some((start, start + len))
}

fn masked_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(len) if len < 126 => frame.push(MASKED | u8::try_from(len).unwrap_or(0)),
        Ok(len) => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::frame::{self as server, Opcode};

    #[test]
    fn frames_are_found_in_a_stream_of_any_length_form() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = server::frame(Opcode::Text, "x".repeat(len).as_bytes()).to_vec();
            let (start, stop) = frame(&bytes).unwrap();
            assert_eq!((stop - start, stop), (len, bytes.len()));
            bytes.pop();
            assert_eq!(frame(&bytes), None);
        }
    }

    #[test]
    fn updates_and_gaps_are_counted() {
        let mut sample = Sample::default();
        note(br#"{"type":"update","topic":"bench.0","seq":1,"ts":100,"rx":100}"#, 350, &mut sample);
        note(br#"{"type":"gap","topic":"bench.0","from":2,"to":9,"dropped":8}"#, 350, &mut sample);
        note(br#"{"type":"heartbeat","time":1}"#, 350, &mut sample);
        assert_eq!((sample.updates, sample.lost), (1, 8));
        assert_eq!(sample.quantile_us(0.5), 250);
    }
}
