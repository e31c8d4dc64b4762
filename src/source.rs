//! Sources: tasks that give candidates to the publisher. They know neither streams nor clients.

mod files;
mod registry;

pub use self::{
    files::{Files, FilesError, FilesTask, FolderState, FolderStatus},
    registry::{
        Change, DEFAULT_CLUSTER, Endpoint, EndpointDigest, EndpointId, Endpoints, Health, Lease, Locality, MAX_WEIGHT,
        MalformedDigest, Registered, Registration, Registry, RegistryError, RegistryTask, UnknownHealth, is_registered,
    },
};
