//! Clients that come, fall behind and go, as clients do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use super::accounts::{Account, Tally, Truth};
use crate::support::{Client, Ended};

/// A pattern, whether every number comes or lies in a gap, and how it is subscribed.
type Choice = (&'static str, bool, fn() -> Value);

/// A subscription to what the load comes of, and one to prices. No topic is in both.
const LOAD: [Choice; 3] = [
    ("bench.0", true, || json!({"mode": "every"})),
    ("bench.*", false, || json!({"max_rate": 20})),
    ("bench.1", false, || json!({})),
];
const PRICES: [Choice; 4] = [
    ("price.>", true, || json!({"mode": "every"})),
    ("price.*.*", false, || json!({})),
    ("price.*", true, || json!({"mode": "every", "snapshot": false})),
    ("price.*.>", false, || json!({"mode": "every", "filter": "data.price > 100.02"})),
];

/// One who can be any client; each life ends before the next begins.
pub struct Restless {
    pub address: SocketAddr,
    pub truth: Arc<Truth>,
    pub tally: Arc<Tally>,
}

impl Restless {
    /// Lives one life after the other until `end`.
    pub async fn live(self, seed: u64, end: Instant) {
        let mut random = StdRng::seed_from_u64(seed);
        while Instant::now() < end {
            Tally::add(&self.tally.clients);
            match random.random_range(0..10) {
                0 => self.never_finish_the_handshake(&mut random).await,
                1 => self.freeze(&mut random).await,
                2..5 => self.read(&mut random, true).await,
                _ => self.read(&mut random, false).await,
            }
        }
    }

    async fn never_finish_the_handshake(&self, random: &mut StdRng) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = b"GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nX: ";
        let length = random.random_range(0..head.len());
        stream.write_all(&head[..length]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
    }

    /// Stops reading for longer than it is borne with.
    async fn freeze(&self, random: &mut StdRng) {
        let mut client = Client::narrow(self.address).await;
        client.subscribe(&["bench.0"], json!({"mode": "every"})).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(3_500..4_500))).await;
        let ended = client.ended().await;
        let slow = Ended::Closed { code: 3008, reason: "slow_consumer".into() };
        assert!(ended == slow || ended == Ended::Gone, "{ended:?}");
        Tally::add(&self.tally.frozen);
    }

    /// Subscribes and reads, by and by behind when it is `slow`, and leaves in some way.
    async fn read(&self, random: &mut StdRng, slow: bool) {
        let mut client = Client::narrow(self.address).await;
        assert_eq!(client.event().await["type"], "welcome");
        let chosen = [
            LOAD[random.random_range(0..LOAD.len())],
            PRICES[random.random_range(0..PRICES.len())],
        ];
        let mut accounts = Vec::new();
        for (pattern, every, options) in chosen {
            let rows = client.subscribe(&[pattern], options()).await;
            assert_eq!(rows[0]["ok"], true, "{rows:?}");
            accounts.push(Account::new(pattern, every));
        }
        for _ in 0..random.random_range(1..5) {
            if slow {
                let pause = Duration::from_millis(random.random_range(100..1_200));
                tokio::time::sleep(pause).await;
            }
            let until = Instant::now() + Duration::from_millis(random.random_range(50..800));
            while Instant::now() < until {
                let event = client.event().await;
                self.take(&mut accounts, &event);
            }
            self.audit(&mut client, &mut accounts).await;
        }
        match random.random_range(0..3) {
            0 => client.vanish(),
            1 => drop(client),
            _ => {
                let ended = client.close().await;
                let closed = matches!(&ended, Ended::Closed { code: 1000, .. });
                assert!(closed || ended == Ended::Gone, "{ended:?}");
            }
        }
    }

    async fn audit(&self, client: &mut Client, accounts: &mut [Account]) {
        let result = client.result("subscriptions", Value::Null).await;
        for event in client.waiting() {
            self.take(accounts, &event);
        }
        let rows = result["subscriptions"].as_array().unwrap();
        for account in accounts {
            let row = rows.iter().find(|row| row["topic"] == account.pattern).unwrap();
            account.audit(&row["ledger"], &self.tally);
        }
    }

    fn take(&self, accounts: &mut [Account], event: &Value) {
        let Some(kind) = event["topic"].as_str().and_then(|topic| topic.split('.').next()) else {
            return;
        };
        let account = accounts.iter_mut().find(|account| account.pattern.starts_with(kind));
        account.unwrap().take(event, &self.truth, &self.tally);
    }
}
