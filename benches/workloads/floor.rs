//! The floor: the same bytes to the same sockets, one write for what is pending, and
//! nothing else. What it costs is the kernel's share, which no server can go below.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{handshake, servers::Load};

/// As many writers as Tickwire has shards on the machine of the tables.
const WRITERS: usize = 2;
/// The pace of Tickwire's synthetic feed: with another, more writes would be compared with fewer.
pub const BATCH_EVERY: Duration = Duration::from_millis(2);
const FRAMES_PER_WRITE: usize = 64;
/// Frames that wait for one client: beyond them it loses the oldest.
const WAITING_MAX: usize = 256;

struct Client {
    stream: TcpStream,
    waiting: VecDeque<Bytes>,
    /// How much of the first was written.
    written: usize,
}

pub fn serve(load: &Load) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("ws://{}/", listener.local_addr().unwrap());
    let mut writers: Vec<Vec<(Client, Vec<usize>)>> = (0..WRITERS).map(|_| Vec::new()).collect();
    for number in 0..load.connections {
        let (mut stream, _) = listener.accept().unwrap();
        let topics = handshake::accept(&mut stream);
        stream.set_nonblocking(true).unwrap();
        let client = Client { stream, waiting: VecDeque::new(), written: 0 };
        writers[number % WRITERS].push((client, topics));
    }
    let started = Instant::now();
    std::thread::scope(|scope| {
        for clients in writers {
            scope.spawn(|| write(clients, load, started));
        }
    });
}

fn write(clients: Vec<(Client, Vec<usize>)>, load: &Load, started: Instant) {
    let mut by_topic: Vec<Vec<usize>> = vec![Vec::new(); load.topics];
    for (number, (_, topics)) in clients.iter().enumerate() {
        for topic in topics {
            by_topic[*topic].push(number);
        }
    }
    let mut clients: Vec<Client> = clients.into_iter().map(|(client, _)| client).collect();
    let (mut touched, mut pending) = (Vec::new(), Vec::new());
    let mut made = 0_u64;
    let mut next = started;
    loop {
        next += BATCH_EVERY;
        std::thread::park_timeout(next.saturating_duration_since(Instant::now()));
        let due = due(started, load.rate);
        while made < due {
            let topic = made as usize % load.topics;
            let frame = handshake::update_frame(topic, made, load.payload_bytes);
            made += 1;
            for number in &by_topic[topic] {
                let client = &mut clients[*number];
                if client.waiting.is_empty() {
                    touched.push(*number);
                }
                client.waiting.push_back(frame.clone());
                if client.waiting.len() > WAITING_MAX && client.written == 0 {
                    client.waiting.pop_front();
                }
            }
        }
        touched.retain(|number| !flush(&mut clients[*number], &mut pending));
    }
}

/// Updates that are to be made by now: those that the synthetic feed makes in the same batches.
pub fn due(started: Instant, rate: u32) -> u64 {
    let batches = started.elapsed().as_micros() / BATCH_EVERY.as_micros();
    (batches * BATCH_EVERY.as_micros() * u128::from(rate) / 1_000_000) as u64 + 1
}

/// True when nothing waits any more. Small pieces are copied together: the kernel takes longer for a
/// list of them.
fn flush(client: &mut Client, pending: &mut Vec<u8>) -> bool {
    while !client.waiting.is_empty() {
        pending.clear();
        for frame in client.waiting.iter().take(FRAMES_PER_WRITE) {
            pending.extend_from_slice(frame);
        }
        match client.stream.write(&pending[client.written..]) {
            Ok(mut bytes) => {
                while let Some(first) = client.waiting.front() {
                    let left = first.len() - client.written;
                    if bytes < left {
                        client.written += bytes;
                        break;
                    }
                    bytes -= left;
                    client.written = 0;
                    client.waiting.pop_front();
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => {
                client.waiting.clear();
                client.written = 0;
            }
        }
    }
    true
}
