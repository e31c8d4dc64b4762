//! Warns of types whose resources together exceed the message limit of gRPC clients.

use super::step::{Step, Told};
use crate::{
    admission::{Severity, codes},
    snapshot::{TypeResources, of_type},
};

/// The default message limit of gRPC clients. An Envoy accepts more.
const MAX_MESSAGE: usize = 4 << 20;
/// The bytes that a response has around each resource, and around all of them.
const PER_RESOURCE: usize = 5;
const PER_RESPONSE: usize = 256;

/// Warns of types that are too large. Uses stored sums, so the cost does not depend on the size of the group.
pub(super) fn check(step: &Step<'_>, told: &mut Told<'_>) {
    for (resource_type, own) in step.own {
        let response = response_of(own, of_type(step.shared, resource_type));
        if response > MAX_MESSAGE && !own.is_empty() {
            let message = format!(
                "all of them in one response are {}, more than the 4 MiB that gRPC's own clients take: they cannot be given all \
                 at once",
                mebibytes(response)
            );
            told.add(
                Severity::Warning,
                codes::TYPE_SIZE,
                (resource_type, None),
                None,
                message,
            );
        }
    }
}

/// The size of a response with all resources that a node may see.
fn response_of(own: &TypeResources, shared: &TypeResources) -> usize {
    let (mut bytes, mut count) = (own.bytes() + shared.bytes(), own.len() + shared.len());
    let alone = own.bytes() + own.len() * PER_RESOURCE;
    // Shared resources that the group replaces do not count; no sum of them is stored, so subtract them only where it
    // matters.
    if bytes + count * PER_RESOURCE + PER_RESPONSE > MAX_MESSAGE && alone + PER_RESPONSE <= MAX_MESSAGE {
        for resource in shared.iter().filter(|shared| own.named(shared.name.as_str()).is_some()) {
            bytes -= resource.body.len();
            count -= 1;
        }
    }
    bytes + count * PER_RESOURCE + PER_RESPONSE
}

fn mebibytes(bytes: usize) -> String {
    let tenths = bytes.saturating_mul(10) / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_named_in_tenths() {
        assert_eq!(mebibytes(5_400_000), "5.1 MiB");
        assert_eq!(mebibytes(MAX_MESSAGE), "4.0 MiB");
    }
}
