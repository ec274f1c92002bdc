//! What came of the load.

use std::{fs, io::Write, time::Duration};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use serde::Serialize;

/// What clients got.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) updates: u64,
    pub(super) lost: u64,
    bytes: u64,
    latency_us: Histogram<u32>,
}

/// The figures of one run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    connections: usize,
    seconds: u64,
    opened_in_ms: u128,
    updates: u64,
    updates_per_second: f64,
    lost: u64,
    mean_bytes: f64,
    latency_us: Latency,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cpu_us_per_update: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { updates: 0, lost: 0, bytes: 0, latency_us: histogram() }
    }
}

/// Two significant digits, growing as needed: a thousand clients each have one.
#[allow(clippy::expect_used, reason = "the precision is a constant that the library accepts")]
fn histogram() -> Histogram<u32> {
    Histogram::new(2).expect("2 is between 0 and 5")
}

impl Sample {
    pub(super) fn delivered(&mut self, latency_us: i64, bytes: usize) {
        self.updates += 1;
        self.bytes += u64::try_from(bytes).unwrap_or(0);
        // A clock that stepped back counts as no latency.
        let latency_us = u64::try_from(latency_us).unwrap_or(0);
        let recorded = self.latency_us.record(latency_us);
        debug_assert!(recorded.is_ok(), "a histogram that grows refused a value");
    }

    pub(super) fn lost(&mut self, count: u64) {
        self.lost += count;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.updates += other.updates;
        self.lost += other.lost;
        self.bytes += other.bytes;
        let added = self.latency_us.add(&other.latency_us);
        // Both grow as needed, so that one always takes in the other.
        debug_assert!(added.is_ok(), "a histogram that grows refused another");
    }

    pub(super) fn quantile_us(&self, quantile: f64) -> u64 {
        self.latency_us.value_at_quantile(quantile)
    }
}

impl Report {
    pub(super) fn new(
        sample: &Sample,
        seconds: u64,
        connections: usize,
        opened: Duration,
        cpu: Option<Duration>,
    ) -> Self {
        let at = |quantile| sample.quantile_us(quantile);
        let updates = float(sample.updates);
        let cpu = cpu.map(|cpu| cpu.as_secs_f64());
        Self {
            connections,
            seconds,
            opened_in_ms: opened.as_millis(),
            updates: sample.updates,
            updates_per_second: updates / float(seconds.max(1)),
            lost: sample.lost,
            mean_bytes: float(sample.bytes) / updates.max(1.0),
            latency_us: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: sample.latency_us.max(),
            },
            server_cpu_seconds: cpu,
            server_cpu_us_per_update: cpu.map(|cpu| cpu * 1e6 / updates.max(1.0)),
        }
    }

    pub(super) fn json(&self, out: &mut impl Write) -> Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)?;
        Ok(())
    }

    pub(super) fn text(&self, out: &mut impl Write) -> Result<()> {
        let ms = |us: u64| float(us) / 1000.0;
        let latency = &self.latency_us;
        writeln!(out, "connections  {} in {} ms", self.connections, self.opened_in_ms)?;
        let (total, rate) = (self.updates, self.updates_per_second);
        writeln!(out, "updates      {total} in {} s: {rate:.0} a second", self.seconds)?;
        writeln!(out, "lost         {}", self.lost)?;
        writeln!(
            out,
            "latency ms   p50 {:.2}  p90 {:.2}  p99 {:.2}  p99.9 {:.2}  max {:.2}",
            ms(latency.p50),
            ms(latency.p90),
            ms(latency.p99),
            ms(latency.p999),
            ms(latency.max)
        )?;
        if let Some(each) = self.server_cpu_us_per_update {
            writeln!(out, "server CPU   {each:.2} µs per update")?;
        }
        Ok(())
    }
}

fn float(count: u64) -> f64 {
    // Exact up to 2^53, far beyond any count here.
    f64::from(u32::try_from(count >> 32).unwrap_or(u32::MAX)) * 4_294_967_296.0
        + f64::from(u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX))
}

/// User and system time of a process so far.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    /// `USER_HZ` is 100 on every Linux platform that Rust supports.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid}"))?;
    // The second field is the name in brackets, which may hold anything.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks[..] {
        [user, system] => Ok(TICK * (user + system)),
        _ => anyhow::bail!("the CPU time of process {pid} cannot be read"),
    }
}
