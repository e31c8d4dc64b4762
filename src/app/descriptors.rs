//! The limits on connections by file descriptors: the xDS port must leave descriptors for probes, the admin API and the
//! store.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::settings::ConnectionsLayer;

/// Descriptors reserved for files, the runtime, and threads that publish.
const OWN: usize = 64;

/// The number of connections that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) xds: usize,
    pub(super) xds_of_peer: usize,
    /// On each of the three other ports.
    pub(super) other: usize,
    pub(super) other_of_peer: usize,
}

/// Raises the limit of open files to its maximum, and divides it among the ports.
pub(super) fn room(wanted: &ConnectionsLayer) -> Room {
    let limit = raised();
    let room = Room::within(limit, wanted);
    if room.xds < wanted.max() {
        warn!(
            open_files = limit,
            connections = room.xds,
            "fewer connections than connections.max can be open: raise the limit of open files (ulimit -n)"
        );
    }
    room
}

fn raised() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX))
}

impl Room {
    fn within(files: usize, wanted: &ConnectionsLayer) -> Self {
        let other = wanted.max_other().min(files / 16).max(1);
        let xds = wanted.max().min(files.saturating_sub(OWN + 3 * other)).max(1);
        Self {
            xds,
            xds_of_peer: wanted.max_per_peer().min(xds.div_ceil(2)),
            other,
            other_of_peer: other.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_leave_room_for_the_other_ports() {
        let wanted = ConnectionsLayer::default();
        let room = Room::within(1024, &wanted);
        assert_eq!((room.other, room.xds, room.xds_of_peer), (64, 768, 384));
        assert_eq!(room.other_of_peer, 32);
        let room = Room::within(usize::MAX, &wanted);
        assert_eq!(
            (room.other, room.xds, room.xds_of_peer),
            (wanted.max_other(), wanted.max(), wanted.max_per_peer())
        );
    }
}
