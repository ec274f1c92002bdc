//! The plain design at its best: a task and a broadcast receiver for each connection, tungstenite
//! with a small read buffer, everything that is ready fed and flushed once.

use std::time::Instant;

use futures::{SinkExt, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::broadcast,
};
use tokio_tungstenite::{
    accept_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

use crate::{
    floor::{self, BATCH_EVERY},
    handshake,
    servers::Load,
};

const CHANNEL: usize = 4096;
const FEED_MAX: usize = 64;

type Update = (usize, Utf8Bytes);

pub fn serve(load: &Load) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("ws://{}/", listener.local_addr().unwrap());
        let (updates, _) = broadcast::channel(CHANNEL);
        let accepting = accept(listener, updates.clone());
        let publishing = publish(*load, updates);
        tokio::join!(accepting, publishing);
    });
}

async fn accept(listener: TcpListener, updates: broadcast::Sender<Update>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(client(stream, updates.subscribe()));
    }
}

async fn publish(load: Load, updates: broadcast::Sender<Update>) {
    let started = Instant::now();
    let mut every = tokio::time::interval(BATCH_EVERY);
    let mut made = 0_u64;
    loop {
        every.tick().await;
        let due = floor::due(started, load.rate);
        while made < due {
            let topic = made as usize % load.topics;
            let text = handshake::update(topic, made, load.payload_bytes);
            updates.send((topic, text.into())).ok();
            made += 1;
        }
    }
}

async fn client(stream: TcpStream, mut updates: broadcast::Receiver<Update>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let mut socket = accept_async_with_config(stream, Some(config)).await.ok()?;
    let request = socket.next().await?.ok()?.into_text().ok()?;
    let topics = handshake::topics(request.as_bytes())?;
    loop {
        tokio::select! {
            update = updates.recv() => {
                let mut next = update;
                for _ in 0..FEED_MAX {
                    match next {
                        Ok((topic, text)) if topics.contains(&topic) => {
                            socket.feed(Message::Text(text)).await.ok()?;
                        }
                        Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                        Err(broadcast::error::RecvError::Closed) => return None,
                    }
                    next = match updates.try_recv() {
                        Ok(update) => Ok(update),
                        Err(broadcast::error::TryRecvError::Lagged(n)) => {
                            Err(broadcast::error::RecvError::Lagged(n))
                        }
                        Err(_) => break,
                    };
                }
                socket.flush().await.ok()?;
            }
            message = socket.next() => {
                message?.ok()?;
            }
        }
    }
}
