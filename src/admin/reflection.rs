//! gRPC reflection, v1 and v1alpha, for the services of this port and the files that they import. The rest of Envoy's
//! API is left out: a megabyte that no client of this port needs.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::service::RoutesBuilder;
use tonic_reflection::server::Builder;

use crate::proto::FILE_DESCRIPTOR_SET;

const PACKAGES: [&str; 2] = ["chancery.admin.v1", "envoy.service.status.v3"];

/// The embedded descriptors are inconsistent.
#[derive(Debug, thiserror::Error)]
pub enum ReflectionError {
    /// The descriptor set does not decode.
    #[error("the embedded descriptor set is damaged")]
    Decode(#[from] prost::DecodeError),
    /// A name is missing or defined twice.
    #[error("the embedded descriptor set cannot be reflected")]
    Build(#[from] tonic_reflection::server::Error),
}

/// Adds both versions of the reflection service.
pub(super) fn add_to(routes: &mut RoutesBuilder) -> Result<(), ReflectionError> {
    let files = admin_files()?;
    let builder = || {
        Builder::configure()
            .register_file_descriptor_set(files.clone())
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    routes.add_service(builder().build_v1()?);
    routes.add_service(builder().build_v1alpha()?);
    Ok(())
}

/// The files of the served packages, and all files that they import.
fn admin_files() -> Result<FileDescriptorSet, ReflectionError> {
    let all: BTreeMap<String, FileDescriptorProto> = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET)?
        .file
        .into_iter()
        .map(|file| (file.name().to_owned(), file))
        .collect();
    let ours = all.values().filter(|file| PACKAGES.contains(&file.package()));
    let mut wanted: Vec<&FileDescriptorProto> = ours.collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut set = FileDescriptorSet::default();
    while let Some(file) = wanted.pop() {
        if taken.insert(file.name()) {
            wanted.extend(file.dependency.iter().filter_map(|name| all.get(name)));
            set.file.push(file.clone());
        }
    }
    Ok(set)
}
