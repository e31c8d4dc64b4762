//! A family of metrics with closed sets of labels: one row per combination, found by index.

use std::{fmt, marker::PhantomData, sync::Arc};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric},
};

/// A label with a closed set of values.
pub trait Label: Copy + 'static {
    /// The name of the label.
    const KEY: &'static str;
    /// All values, each at its [`Label::index`].
    const ALL: &'static [Self];

    /// The value as text.
    fn text(self) -> &'static str;

    /// The index of the value in [`Label::ALL`].
    fn index(self) -> usize;
}

/// The labels of a row: one or two.
pub trait Labels: Copy {
    /// All combinations, each at its [`Labels::index`].
    fn all() -> Vec<Self>;

    /// The index of this combination among all.
    fn index(self) -> usize;

    /// The names and values of the labels.
    fn pairs(self) -> Vec<(&'static str, &'static str)>;
}

/// The metrics of one family. Clones share them.
pub struct Table<L, M> {
    rows: Arc<[M]>,
    labels: PhantomData<fn() -> L>,
}

// === impl Labels ===

impl<A: Label> Labels for (A,) {
    fn all() -> Vec<Self> {
        A::ALL.iter().map(|a| (*a,)).collect()
    }

    fn index(self) -> usize {
        self.0.index()
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(A::KEY, self.0.text())]
    }
}

impl<A: Label, B: Label> Labels for (A, B) {
    fn all() -> Vec<Self> {
        let with = |a: &A| B::ALL.iter().map(|b| (*a, *b)).collect::<Vec<_>>();
        A::ALL.iter().flat_map(with).collect()
    }

    fn index(self) -> usize {
        self.0.index() * B::ALL.len() + self.1.index()
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![(A::KEY, self.0.text()), (B::KEY, self.1.text())]
    }
}

// === impl Table ===

impl<L: Labels, M> Table<L, M> {
    /// The metric with these labels.
    #[must_use]
    pub fn at(&self, labels: L) -> &M {
        &self.rows[labels.index()]
    }
}

impl<L: Labels, M: Default> Default for Table<L, M> {
    fn default() -> Self {
        Self {
            rows: L::all().iter().map(|_| M::default()).collect(),
            labels: PhantomData,
        }
    }
}

impl<L, M> Clone for Table<L, M> {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::clone(&self.rows),
            labels: PhantomData,
        }
    }
}

impl<L, M> fmt::Debug for Table<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl<L: Labels, M: EncodeMetric + TypedMetric> EncodeMetric for Table<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for labels in L::all() {
            let pairs = labels.pairs();
            let row = encoder.encode_family(&pairs)?;
            self.at(labels).encode(row)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;
    use crate::metrics::{Operation, Protocol, PublishOutcome, TypeLabel};

    #[test]
    fn every_combination_has_a_row_of_its_own() {
        let table = Table::<(Operation, PublishOutcome), Counter>::default();
        for labels in Labels::all() {
            table.at(labels).inc();
        }
        assert!(table.rows.iter().all(|row| row.get() == 1));
        let indices: Vec<usize> = <(Protocol, TypeLabel)>::all().into_iter().map(Labels::index).collect();
        assert!(indices.iter().copied().eq(0..33));
    }
}
