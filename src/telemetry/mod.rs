//! Metrics and logs. The recorder is an instance that is handed to each part, never a global, so
//! that each server in a test process has figures of its own.

mod latency;
#[cfg(test)]
mod logged;

use std::{sync::Arc, time::Duration};

pub use latency::{Latency, LatencyBatch};
#[cfg(test)]
pub use logged::Logged;
use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;

/// How often raw histogram samples are folded into buckets when nobody scrapes.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Hands out metric handles. Cheap to clone. Parts keep the handles in a struct of their own and
/// register each once.
#[derive(Clone)]
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    latencies: Arc<Mutex<Vec<Named>>>,
}

/// A latency histogram with its name and what it says.
type Named = (&'static str, &'static str, Latency);

const METADATA: Metadata<'static> = Metadata::new("tickwire", Level::INFO, None);

impl Telemetry {
    /// A recorder with nothing in it.
    ///
    /// # Errors
    /// When the exporter refuses the histogram buckets.
    pub fn new() -> Result<Self, BuildError> {
        let bounds = latency::BOUNDS_US.map(|us| Duration::from_micros(us).as_secs_f64());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &bounds)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder: Arc::new(recorder), handle, latencies: Arc::default() })
    }

    /// A counter. `labels` must come from a closed set.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// A gauge. `labels` must come from a closed set.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// A histogram. `labels` must come from a closed set.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.recorder.register_histogram(&key(name, labels), &METADATA)
    }

    /// A histogram of latencies for the hot path: the one of that name, which must end in
    /// `_seconds`.
    pub fn latency(&self, name: &'static str, text: &'static str) -> Latency {
        let mut known = self.latencies.lock();
        if let Some((_, _, latency)) = known.iter().find(|(other, _, _)| *other == name) {
            return latency.clone();
        }
        let latency = Latency::default();
        known.push((name, text, latency.clone()));
        latency
    }

    /// Says what a metric counts, once for all its labels.
    pub fn describe(&self, name: &'static str, text: &'static str) {
        // The kind does not change what the exporter does with the text.
        self.recorder.describe_counter(name.into(), None, text.into());
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        for (name, help, latency) in self.latencies.lock().iter() {
            latency.render(&mut text, name, help);
        }
        text
    }

    /// Folds raw samples into buckets, to be called every [`UPKEEP_EVERY`].
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_instances_do_not_share_figures() {
        let (one, other) = (Telemetry::new().unwrap(), Telemetry::new().unwrap());
        one.counter("tickwire_errors_total", &[("code", "bad_json")]).increment(3);
        assert!(one.render().contains("tickwire_errors_total{code=\"bad_json\"} 3"));
        assert!(!other.render().contains("tickwire_errors_total"));
    }

    #[test]
    fn latencies_are_histograms() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.histogram("tickwire_delivery_latency_seconds", &[]).record(0.002);
        assert!(
            telemetry
                .render()
                .contains("tickwire_delivery_latency_seconds_bucket{le=\"0.0025\"} 1")
        );
    }
}
