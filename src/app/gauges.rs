//! Gauges, computed when somebody reads the metrics: nodes, snapshots, folders of files, registered endpoints.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Instant};

use prometheus_client::{
    collector::Collector,
    encoding::DescriptorEncoder,
    registry::{Registry as Exposed, Unit},
};

use crate::{
    admission,
    fleet::{Census, Fleet},
    memory::MemoryBudget,
    metrics::{FolderLabel, Gauges, Label as _, NodeLabel, ServingMetrics, Severity, TypeLabel},
    publisher::Publisher,
    source::{Files, Registry},
    transport::Xds,
};

/// The parts whose state the gauges show.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) fleet: Arc<Fleet>,
    /// The counters of streams and polls.
    pub(super) served: Arc<ServingMetrics>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) registry: Registry,
    /// `None` for a server without a directory of files.
    pub(super) files: Option<Files>,
}

// === impl Standing ===

impl Standing {
    /// Exposes the gauges and the counters of the parts.
    pub(super) fn register(self, exposed: &mut Exposed) {
        self.served.register(exposed);
        self.publisher.metrics().register(exposed);
        self.registry.metrics().register(exposed);
        if let Some(files) = &self.files {
            files.metrics().register(exposed);
        }
        exposed.register_collector(Box::new(self));
    }

    fn nodes(&self, gauges: &mut Gauges<'_>) -> fmt::Result {
        let Census {
            connected,
            gone,
            refusing,
            unanswered,
            unconfirmed,
        } = self.fleet.census(Instant::now());
        gauges.by("xds_nodes", "Known nodes", None, |(state,)| match state {
            NodeLabel::Connected => connected as u64,
            NodeLabel::Gone => gone as u64,
        })?;
        gauges.count(
            "xds_nodes_refusing",
            "Connected nodes that refuse something: NACKed, and since then neither accepted, replaced nor removed",
            refusing,
        )?;
        gauges.count(
            "xds_nodes_unanswered",
            "Connected nodes whose response is unanswered for longer than fleet.unanswered_after",
            unanswered,
        )?;
        gauges.count(
            "xds_nodes_unconfirmed",
            "Nodes that asked again over REST with an earlier version than they were sent",
            unconfirmed,
        )
    }

    fn snapshots(&self, gauges: &mut Gauges<'_>) -> fmt::Result {
        let totals = self.publisher.totals();
        gauges.count("xds_snapshots", "Published groups", totals.groups)?;
        gauges.one("xds_revision", "The newest revision", None, &totals.revision.0)?;
        let mut resources = [0_u64; TypeLabel::ALL.len()];
        for (kind, number) in &totals.resources {
            resources[TypeLabel::from(kind).index()] += *number as u64;
        }
        let of = |(kind,): (TypeLabel,)| resources[kind.index()];
        gauges.by("xds_snapshot_resources", "Published resources of all groups", None, of)
    }

    fn folders(&self, gauges: &mut Gauges<'_>) -> fmt::Result {
        let Some(files) = &self.files else {
            return Ok(());
        };
        let statuses = files.statuses();
        let standing = |(state,): (FolderLabel,)| {
            let folders = statuses
                .iter()
                .filter(|status| FolderLabel::from(status.state) == state);
            folders.count() as u64
        };
        gauges.by("xds_source_folders", "Folders of files, by state", None, standing)?;
        let mut findings = BTreeMap::new();
        for finding in statuses.iter().flat_map(|status| &status.findings) {
            *findings.entry(finding.severity).or_insert(0) += 1;
        }
        let found = |(severity,): (Severity,)| {
            let severity = match severity {
                Severity::Error => admission::Severity::Error,
                Severity::Warning => admission::Severity::Warning,
            };
            findings.get(&severity).copied().unwrap_or_default()
        };
        gauges.by("xds_source_findings", "Current findings in the folders", None, found)
    }
}

/// The load that decides if new streams are refused.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) xds: Xds,
    pub(super) memory: MemoryBudget,
}

impl Collector for Load {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauges = Gauges::new(encoder);
        let bytes = Some(&Unit::Bytes);
        gauges.one(
            "xds_subscribed",
            "Memory of the names that all streams subscribe to",
            bytes,
            &(self.xds.subscribed_bytes() as u64),
        )?;
        gauges.one(
            "xds_memory_budget",
            "Memory above which new streams, fetches and polls are refused; 0 for no limit",
            bytes,
            &self.memory.bytes().unwrap_or_default(),
        )?;
        let exceeded = usize::from(self.memory.is_exceeded());
        gauges.count(
            "xds_memory_exceeded",
            "1 while new streams, fetches and polls are refused because the memory budget is exceeded",
            exceeded,
        )
    }
}

impl Collector for Standing {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauges = Gauges::new(encoder);
        self.nodes(&mut gauges)?;
        self.snapshots(&mut gauges)?;
        self.folders(&mut gauges)?;
        gauges.count(
            "xds_registry_endpoints",
            "Registered endpoints",
            self.registry.endpoints().len(),
        )
    }
}
