//! Parses a load report in one scan over its bytes: sums the counts of all localities and skips unused fields.

use std::{borrow::Cow, time::Duration};

use crate::{
    fleet::ClusterLoad,
    transport::{
        LrsSettings,
        error::{RequestError, at_most, fits},
        request::merge,
        wire::Field,
    },
};

/// Fields at any depth per cluster of a report. An Envoy reports each locality of a cluster separately.
const FIELDS_PER_CLUSTER: usize = 100;

/// The used fields of a `LoadStatsRequest`.
#[derive(Debug, Default)]
pub(super) struct Report<'a> {
    /// An encoded `envoy.config.core.v3.Node`.
    pub(super) node: Option<Cow<'a, [u8]>>,
    pub(super) clusters: Vec<ClusterLoad>,
}

/// The limits of one report, and the count of its fields so far.
struct Budget {
    clusters: usize,
    fields: usize,
    name_bytes: usize,
}

// === impl Report ===

impl<'a> Report<'a> {
    /// Parses an encoded `LoadStatsRequest` with texts of at most `name_bytes`.
    pub(super) fn read(mut bytes: &'a [u8], settings: &LrsSettings, name_bytes: usize) -> Result<Self, RequestError> {
        let mut budget = Budget {
            clusters: settings.clusters,
            fields: 0,
            name_bytes,
        };
        let mut report = Self::default();
        while let Some(field) = budget.next(&mut bytes)? {
            match field.number {
                1 => merge(&mut report.node, field.bytes()?),
                2 => {
                    at_most("cluster_stats", report.clusters.len() + 1, settings.clusters)?;
                    report.clusters.push(budget.cluster(field.bytes()?)?);
                }
                _ => {}
            }
        }
        Ok(report)
    }
}

// === impl Budget ===

impl Budget {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Field<'a>>, RequestError> {
        self.fields += 1;
        let most = self.clusters.saturating_mul(FIELDS_PER_CLUSTER);
        at_most(
            "fields of a load report",
            self.fields,
            most.saturating_add(FIELDS_PER_CLUSTER),
        )?;
        Ok(Field::next(bytes)?)
    }

    /// Parses an encoded `ClusterStats`.
    fn cluster(&mut self, mut bytes: &[u8]) -> Result<ClusterLoad, RequestError> {
        let mut load = ClusterLoad::default();
        let (mut seconds, mut nanos) = (0, 0);
        while let Some(field) = self.next(&mut bytes)? {
            match field.number {
                1 => load.cluster = self.text("cluster_name", field)?,
                2 => self.locality(field.bytes()?, &mut load)?,
                3 => load.dropped = field.uint64()?,
                4 => {
                    let mut interval = field.bytes()?;
                    while let Some(field) = self.next(&mut interval)? {
                        match field.number {
                            1 => seconds = field.uint64()?,
                            2 => nanos = field.int32()?,
                            _ => {}
                        }
                    }
                }
                6 => load.service = self.text("cluster_service_name", field)?,
                _ => {}
            }
        }
        let duration = prost_types::Duration {
            seconds: seconds as i64,
            nanos,
        };
        // A negative interval counts as 0.
        load.interval = Duration::try_from(duration).unwrap_or_default();
        Ok(load)
    }

    /// Adds the counts of an encoded `UpstreamLocalityStats`.
    fn locality(&mut self, mut bytes: &[u8], load: &mut ClusterLoad) -> Result<(), RequestError> {
        // The last value of a repeated field counts.
        let [mut successful, mut in_progress, mut failed, mut issued] = [0; 4];
        while let Some(field) = self.next(&mut bytes)? {
            match field.number {
                2 => successful = field.uint64()?,
                3 => in_progress = field.uint64()?,
                4 => failed = field.uint64()?,
                8 => issued = field.uint64()?,
                _ => {}
            }
        }
        for (sum, count) in [
            (&mut load.successful, successful),
            (&mut load.in_progress, in_progress),
            (&mut load.failed, failed),
            (&mut load.issued, issued),
        ] {
            *sum = sum.saturating_add(count);
        }
        Ok(())
    }

    fn text(&self, name: &'static str, field: Field<'_>) -> Result<String, RequestError> {
        fits(name, field.bytes()?.len(), self.name_bytes)?;
        Ok(field.text()?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::envoy::{
        config::{
            core::v3::Node,
            endpoint::v3::{ClusterStats, UpstreamEndpointStats, UpstreamLocalityStats},
        },
        service::load_stats::v3::LoadStatsRequest,
    };

    const SETTINGS: LrsSettings = LrsSettings {
        interval: Duration::from_secs(1),
        request_bytes: 1 << 20,
        clusters: 10,
    };

    fn read(bytes: &[u8]) -> Result<Report<'_>, RequestError> {
        Report::read(bytes, &SETTINGS, 100)
    }

    fn refused(bytes: &[u8]) -> String {
        match read(bytes) {
            Err(error @ RequestError::Excess(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn localities_of_a_cluster_are_summed() {
        let locality = |requests: u64| UpstreamLocalityStats {
            total_issued_requests: requests,
            total_successful_requests: requests - 2,
            total_error_requests: 2,
            total_requests_in_progress: 1,
            priority: 7,
            upstream_endpoint_stats: vec![UpstreamEndpointStats::default(); 3],
            ..UpstreamLocalityStats::default()
        };
        let request = LoadStatsRequest {
            node: Some(Node {
                id: "n".to_owned(),
                ..Node::default()
            }),
            cluster_stats: vec![ClusterStats {
                cluster_name: "a".to_owned(),
                cluster_service_name: "service".to_owned(),
                upstream_locality_stats: vec![locality(10), locality(u64::MAX)],
                total_dropped_requests: 5,
                load_report_interval: Some(prost_types::Duration { seconds: 3, nanos: 500 }),
                ..ClusterStats::default()
            }],
        };
        let encoded = request.encode_to_vec();
        let report = read(&encoded).unwrap();
        assert_eq!(Node::decode(&*report.node.unwrap()).unwrap().id, "n");
        let expected = ClusterLoad {
            cluster: "a".to_owned(),
            service: "service".to_owned(),
            interval: Duration::new(3, 500),
            issued: u64::MAX,
            successful: u64::MAX,
            failed: 4,
            in_progress: 2,
            dropped: 5,
        };
        assert_eq!(report.clusters, [expected]);
    }

    /// Each would be some hundred times its size once decoded.
    #[test]
    fn reports_that_hold_too_much_are_refused_by_their_place_and_limit() {
        assert_eq!(
            refused(&[2 << 3 | 2, 0].repeat(1_000_000)),
            "cluster_stats: more than 10 of them in one request"
        );
        let localities = ClusterStats {
            upstream_locality_stats: vec![UpstreamLocalityStats::default(); 100_000],
            ..ClusterStats::default()
        };
        let request = LoadStatsRequest {
            cluster_stats: vec![localities],
            ..LoadStatsRequest::default()
        };
        let fields = "fields of a load report: more than 1100 of them in one request";
        assert_eq!(refused(&request.encode_to_vec()), fields);
        assert_eq!(refused(&[15 << 3, 0].repeat(1_000_000)), fields);
        let named = LoadStatsRequest {
            cluster_stats: vec![ClusterStats {
                cluster_name: "x".repeat(101),
                ..ClusterStats::default()
            }],
            ..LoadStatsRequest::default()
        };
        assert_eq!(
            refused(&named.encode_to_vec()),
            "cluster_name is 101 bytes long, more than 100"
        );
    }

    #[test]
    fn bytes_that_are_not_a_report_are_refused() {
        for bytes in [
            &[2 << 3, 1][..],
            &[2 << 3 | 2, 5, 0],
            &[2 << 3 | 2, 3, 1 << 3 | 2, 1, 0xff],
        ] {
            assert!(matches!(read(bytes), Err(RequestError::Malformed(_))), "{bytes:?}");
        }
    }
}
