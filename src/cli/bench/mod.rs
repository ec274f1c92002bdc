//! `tickwire bench`: many clients of one server, and how late and how complete their updates are.
//!
//! The load is open: the server's `synthetic` feed publishes at its own pace and stamps each update
//! with the moment at which it did, so a server that falls behind shows it in the latencies instead
//! of slowing the load down (no coordinated omission).

mod client;
mod report;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::BenchArgs;
use client::{Client, Load};
use report::{Report, Sample};

/// Connections that are opened at once.
const OPENING: usize = 64;
/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(1);

/// Runs the load and prints what came of it.
///
/// # Errors
/// When the server cannot be reached, refuses a client, or closes one.
pub async fn run(args: &BenchArgs, out: &mut impl Write) -> Result<()> {
    let (address, path) = target(&args.url)?;
    let load = Load {
        address,
        path,
        mode: args.mode.clone(),
        topics: args.topics,
        topics_per_connection: args.topics_per_connection.min(args.topics),
        filters: args.filters,
    };
    let started = Instant::now();
    let mut clients = connect(&load, args.connections + args.stalled).await?;
    let stalled = clients.split_off(args.connections);
    let opened = started.elapsed();
    let begin = Instant::now() + Duration::from_secs(args.warm_up);
    let end = begin + Duration::from_secs(args.seconds);
    let process = args.server_pid.map(|pid| (pid, begin));
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(begin, end));
    }
    let cpu = watch(process, begin, end).await;
    let mut total = Sample::default();
    while let Some(sample) = running.join_next().await {
        total.add(&sample.context("a client failed")??);
    }
    drop(stalled);
    let report = Report::new(&total, args.seconds, args.connections, opened, cpu?);
    if args.json { report.json(out) } else { report.text(out) }
}

/// Opens the connections, a bounded number at a time.
async fn connect(load: &Load, connections: usize) -> Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(connections);
    let numbers: Vec<usize> = (0..connections).collect();
    for some in numbers.chunks(OPENING) {
        let opening = some.iter().map(|number| Client::connect(load, *number));
        clients.extend(try_join_all(opening).await?);
    }
    Ok(clients)
}

/// Shows progress on a terminal, and measures the server's CPU time where its process is known.
async fn watch(
    process: Option<(u32, Instant)>,
    begin: Instant,
    end: Instant,
) -> Result<Option<Duration>> {
    let show = std::io::stderr().is_terminal();
    sleep_until(begin.into()).await;
    let before = process.map(|(pid, _)| report::cpu_time(pid)).transpose()?;
    while Instant::now() + PROGRESS < end {
        sleep(PROGRESS).await;
        if show {
            let left = end.saturating_duration_since(Instant::now()).as_secs();
            drop(write!(std::io::stderr(), "\r{left:>4} s left "));
        }
    }
    sleep_until(end.into()).await;
    if show {
        drop(write!(std::io::stderr(), "\r             \r"));
    }
    let after = process.map(|(pid, _)| report::cpu_time(pid)).transpose()?;
    Ok(after.zip(before).map(|(after, before)| after.saturating_sub(before)))
}

fn target(url: &str) -> Result<(SocketAddr, String)> {
    let url = url::Url::parse(url).context("the URL")?;
    if url.scheme() != "ws" {
        bail!("the load generator speaks ws:// only");
    }
    let addresses = url.socket_addrs(|| Some(80)).context("the URL's host")?;
    let address = addresses.first().copied().context("the URL's host has no address")?;
    Ok((address, url.path().to_owned()))
}
