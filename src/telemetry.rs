//! Metrics and logs. The recorder is an instance that is handed to each part, never a global, so
//! that each server in a test process has figures of its own.

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Upper bounds of the latency histograms, in seconds: from 50 µs, below which a loopback delivery
/// does not come, to a minute, beyond which a value is stale whatever its feed.
const LATENCY_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    5.0, 15.0, 60.0,
];

/// How often raw histogram samples are folded into buckets when nobody scrapes.
pub const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Hands out metric handles. Cheap to clone. Parts keep the handles in a struct of their own and
/// register each once.
#[derive(Clone)]
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
}

const METADATA: Metadata<'static> = Metadata::new("tickwire", Level::INFO, None);

impl Telemetry {
    /// A recorder with nothing in it.
    ///
    /// # Errors
    /// When the exporter refuses the histogram buckets.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
            .build_recorder();
        let handle = recorder.handle();
        Ok(Self { recorder: Arc::new(recorder), handle })
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

    /// Says what a metric counts, once for all its labels.
    pub fn describe(&self, name: &'static str, text: &'static str) {
        // The kind does not change what the exporter does with the text.
        self.recorder.describe_counter(name.into(), None, text.into());
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.render()
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
