//! Gauges whose values are read at each scrape.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric as _, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter},
    registry::Unit,
};

use super::table::Labels;

/// Writes gauges to the text of a scrape.
#[derive(Debug)]
pub struct Gauges<'a> {
    encoder: DescriptorEncoder<'a>,
}

// === impl Gauges ===

impl<'a> Gauges<'a> {
    /// Writes to the encoder of a collector.
    #[must_use]
    pub const fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self { encoder }
    }

    /// Writes a number of things.
    ///
    /// # Errors
    ///
    /// An error if the text cannot be written.
    pub fn count(&mut self, name: &str, help: &str, value: usize) -> fmt::Result {
        self.one(name, help, None, &(value as u64))
    }

    /// Writes a value. The encoder appends the unit to the name.
    ///
    /// # Errors
    ///
    /// An error if the text cannot be written.
    pub fn one(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: &impl EncodeGaugeValue) -> fmt::Result {
        let mut metric = self.begin(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(value)
    }

    /// Writes a number of things for each combination of labels.
    ///
    /// # Errors
    ///
    /// An error if the text cannot be written.
    pub fn by<L: Labels>(&mut self, name: &str, help: &str, unit: Option<&Unit>, of: impl Fn(L) -> u64) -> fmt::Result {
        let mut metric = self.begin(name, help, unit, MetricType::Gauge)?;
        for labels in L::all() {
            let pairs = labels.pairs();
            metric.encode_family(&pairs)?.encode_gauge(&of(labels))?;
        }
        Ok(())
    }

    /// Writes a 1 with texts as labels.
    pub(super) fn info(&mut self, name: &str, help: &str, texts: &[(&str, &str)]) -> fmt::Result {
        let mut metric = self.begin(name, help, None, MetricType::Gauge)?;
        metric.encode_family(&texts)?.encode_gauge(&1_u64)
    }

    /// Writes a counter whose value is read at each scrape.
    pub(super) fn total(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        let metric = self.begin(name, help, unit, MetricType::Counter)?;
        ConstCounter::new(value).encode(metric)
    }

    /// Begins a metric. The help gets a full stop, as in a registry.
    fn begin<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.encoder.encode_descriptor(name, &format!("{help}."), unit, kind)
    }
}
