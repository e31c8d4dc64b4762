//! Sources: tasks that hand candidates to the publisher and hear the verdict. They know neither streams nor who is served.

mod registry;

pub use self::registry::{
    Change, DEFAULT_CLUSTER, Endpoint, EndpointId, Endpoints, Health, Lease, Locality, MAX_WEIGHT, Registered, Registration, Registry,
    RegistryError, RegistryTask, UnknownHealth,
};
