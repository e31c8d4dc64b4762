//! The flag that names a group.

use clap::Args;

/// The group that a command is about.
#[derive(Args, Debug)]
pub(super) struct Group {
    /// The group of nodes; the resources of `*` are served to every node
    #[arg(short, long, value_name = "GROUP")]
    pub(super) group: String,
}
