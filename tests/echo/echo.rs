//! Sends every message back, through the accept loop, the handshake and the framing that sessions
//! are served with: the target for the Autobahn test suite.
//!
//! ```sh
//! cargo run --release --example echo -- 127.0.0.1:9001
//! ```
//!
//! The suite (`autobahntestsuite` 0.8.2) needs Python 2.7:
//!
//! ```sh
//! python2.7 -m pip install --target venvtool 'virtualenv<20.22'
//! PYTHONPATH=venvtool python2.7 -m virtualenv venv27
//! venv27/bin/pip install autobahntestsuite==0.8.2
//! cat > fuzzingclient.json <<END
//! {"outdir": "reports", "servers": [{"agent": "tickwire", "url": "ws://127.0.0.1:9001"}],
//!  "cases": ["*"], "exclude-cases": [], "exclude-agent-cases": {}}
//! END
//! venv27/bin/wstest -m fuzzingclient -s fuzzingclient.json
//! ```
//!
//! `reports/index.json` then has the verdict of each case; cases 12 and 13 are permessage-deflate.
//! Messages may have 16 MiB here, since cases 9 send that much, and frames may come as fast as they
//! like, since cases 9 send 65,536 fragments of one message.

#![allow(clippy::print_stdout, reason = "it says where it listens")]

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request, http::StatusCode, response::Response};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tickwire::{
    protocol::{
        code::Close,
        encoding::Format,
        frame::{self, Opcode},
    },
    server,
    session::{
        handshake,
        inbound::{Inbound, Received, Rules},
    },
    shutdown::{self, Tasks},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const MESSAGE_BYTES: usize = 16 << 20;
const CONNECTIONS: usize = 64;
const UNSENT_BYTES: usize = 64 << 10;
const LINGER: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9001".into());
    let listener = server::bind(address.parse()?)?;
    println!("echoing on ws://{}", listener.local_addr()?);
    let (tasks, (_running, shutdown)) = (Tasks::default(), shutdown::channel());
    let echoes = tasks.clone();
    let router = Router::new().fallback(move |request| answer(request, echoes.clone()));
    server::serve(listener, router, CONNECTIONS, UNSENT_BYTES, tasks, shutdown).await;
    Ok(())
}

async fn answer(mut request: Request, tasks: Tasks) -> Response {
    let mut response = Response::new(Body::empty());
    let accepted = match handshake::negotiate(&request, true) {
        Ok(accepted) => accepted,
        Err(refused) => {
            *response.status_mut() = refused.status;
            return response;
        }
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tasks.spawn("echo", async move {
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let (stream, read) = (parts.io.into_inner(), parts.read_buf.to_vec());
        if let Err(error) = echo(stream, read, accepted.format).await {
            println!("a connection was lost: {error}");
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(accepted.headers);
    response
}

async fn echo(mut stream: TcpStream, read: Vec<u8>, format: Format) -> io::Result<()> {
    let rules = Rules {
        message_bytes: MESSAGE_BYTES,
        frames_per_s: 1e12,
        deflate: format.deflate.is_some(),
    };
    let mut inbound = Inbound::new(read, rules, Instant::now());
    loop {
        let mut answers = Vec::new();
        let received = inbound.next(&stream, &mut answers);
        send(&stream, &answers).await?;
        let reply = match received {
            Received::Text(text) => format.carry(Opcode::Text, text.as_bytes()),
            Received::Binary(bytes) => format.carry(Opcode::Binary, &bytes),
            Received::Alive => continue,
            Received::Nothing => {
                stream.readable().await?;
                continue;
            }
            Received::Broken(close) => {
                send(&stream, &[close_frame(close)]).await?;
                break;
            }
            Received::Closed(_) | Received::Gone => break,
        };
        send(&stream, &[reply]).await?;
    }
    stream.shutdown().await?;
    // To close a socket with unread input would take the close frame with it.
    let mut nowhere = tokio::io::sink();
    let discarded = tokio::io::copy(&mut stream, &mut nowhere);
    tokio::time::timeout(LINGER, discarded).await.map_or(Ok(()), |copied| copied.map(drop))
}

fn close_frame(close: Close) -> Bytes {
    frame::close(close.code(), close.reason())
}

async fn send(stream: &TcpStream, frames: &[Bytes]) -> io::Result<()> {
    for frame in frames {
        let mut rest = &frame[..];
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
