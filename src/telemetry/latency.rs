//! Latency histograms for the hot path.
//!
//! The exporter keeps every sample of a histogram until it is scraped or swept: at a million
//! deliveries a second that is eight megabytes and a twentieth of the time. These have fixed buckets
//! that are counted into directly, a whole write at a time.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Upper bounds in microseconds: from 50 µs, below which a loopback delivery does not come, to a
/// minute, beyond which a value is stale whatever its feed.
pub(super) const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 15_000_000, 60_000_000,
];
/// The buckets, and one for what is beyond the last bound.
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// A histogram of latencies. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Latency(Arc<Totals>);

#[derive(Debug, Default)]
struct Totals {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// Latencies that are not in a histogram yet.
#[derive(Debug, Default)]
pub struct LatencyBatch {
    counts: [u32; BUCKETS],
    sum_us: u64,
    /// The bucket of the one before, and its bounds, the lower not included: those of one write are
    /// mostly of one moment.
    last: (usize, u64, u64),
}

impl LatencyBatch {
    /// Notes one latency. A negative one, which clocks that disagree make, counts as none.
    pub fn record(&mut self, us: i64) {
        let us = u64::try_from(us).unwrap_or(0);
        let bucket = self.bucket_of(us);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// Notes several latencies, of which the least, the most and the sum are known: true. False, and
    /// nothing is noted, where they do not belong in the same bucket.
    pub fn record_alike(&mut self, count: u32, [least, most, sum]: [i64; 3]) -> bool {
        let (Ok(least), Ok(most)) = (u64::try_from(least), u64::try_from(most)) else {
            return false;
        };
        let bucket = self.bucket_of(least);
        if self.bucket_of(most) != bucket {
            return false;
        }
        if let Some(counted) = self.counts.get_mut(bucket) {
            *counted += count;
        }
        self.sum_us = self.sum_us.saturating_add(u64::try_from(sum).unwrap_or(0));
        true
    }

    /// The bucket of a latency.
    fn bucket_of(&mut self, us: u64) -> usize {
        let (bucket, above, up_to) = self.last;
        if us > above && us <= up_to {
            return bucket;
        }
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        let below = bucket.checked_sub(1).and_then(|below| BOUNDS_US.get(below));
        let bound = BOUNDS_US.get(bucket).copied().unwrap_or(u64::MAX);
        self.last = (bucket, below.copied().unwrap_or(0), bound);
        bucket
    }

    /// The counts of its buckets and the sum.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> ([u32; BUCKETS], u64) {
        (self.counts, self.sum_us)
    }
}

impl Latency {
    /// Takes in what was noted, and empties the batch.
    pub fn take_in(&self, batch: &mut LatencyBatch) {
        let mut any = false;
        for (total, count) in self.0.counts.iter().zip(&mut batch.counts) {
            if *count > 0 {
                total.fetch_add(u64::from(std::mem::take(count)), Ordering::Relaxed);
                any = true;
            }
        }
        if any {
            self.0.sum_us.fetch_add(std::mem::take(&mut batch.sum_us), Ordering::Relaxed);
        }
    }

    /// Writes it in Prometheus' text format.
    pub(super) fn render(&self, out: &mut String, name: &str, help: &str) {
        let mut total = 0;
        let mut lines = String::new();
        let bounds = BOUNDS_US.iter().map(|us| seconds(*us)).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(&self.0.counts) {
            total += count.load(Ordering::Relaxed);
            lines.push_str(&format!("{name}_bucket{{le=\"{bound}\"}} {total}\n"));
        }
        let sum = seconds(self.0.sum_us.load(Ordering::Relaxed));
        out.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} histogram\n{lines}{name}_sum {sum}\n\
             {name}_count {total}\n\n"
        ));
    }
}

/// Microseconds written out as seconds, without an exponent or trailing zeros.
fn seconds(us: u64) -> String {
    let (whole, part) = (us / 1_000_000, us % 1_000_000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:06}").trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_counted_into_buckets_that_add_up() {
        let latency = Latency::default();
        let mut batch = LatencyBatch::default();
        for us in [-5, 0, 50, 51, 2_500, 2_400, 70_000_000, 80_000_000, 60_000_000] {
            batch.record(us);
        }
        assert!(batch.record_alike(2, [3_000, 5_000, 8_000]));
        assert!(!batch.record_alike(2, [3_000, 5_001, 8_001]));
        assert!(!batch.record_alike(2, [-1, 5, 4]));
        latency.take_in(&mut batch);
        // It is empty now.
        latency.take_in(&mut batch);
        let mut out = String::new();
        latency.render(&mut out, "x_seconds", "Some");
        for line in [
            "# TYPE x_seconds histogram",
            "x_seconds_bucket{le=\"0.00005\"} 3",
            "x_seconds_bucket{le=\"0.0001\"} 4",
            "x_seconds_bucket{le=\"0.0025\"} 6",
            "x_seconds_bucket{le=\"60\"} 9",
            "x_seconds_bucket{le=\"+Inf\"} 11",
            "x_seconds_sum 210.013001",
            "x_seconds_count 11",
        ] {
            assert!(out.lines().any(|found| found == line), "{line} in {out}");
        }
    }
}
