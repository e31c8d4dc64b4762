//! Publishes: their rules, their store, and their audit log.

use std::{num::NonZeroUsize, path::PathBuf};

use super::super::{
    declare::{default_of, getter, optional, section},
    parts::RulesMode,
    value::{ByteSize, Share},
};

section! {
    /// The data directory.
    StoreLayer in "store." {
        /// seal the store in `data_dir` with the first key of this file; the other keys open what they sealed. See
        /// [operations.md](operations.md#sealing-the-store)
        key_file: PathBuf;
    }
}

section! {
    /// Rules for publishes.
    AdmissionLayer in "admission." {
        /// refuse publishes with warnings unless they say `--allow-warnings`
        deny_warnings: bool = false;
        /// share of a group's resources that a publish may remove unless it says `--allow-removals`; `0.5` or `50%`; `0`
        /// asks to confirm every removal, `1` none. Emptying a type must be confirmed in any case. See
        /// [operations.md](operations.md#removals-are-confirmed)
        max_removal_share: Share => removals.max_share;
        /// let the folders of `files` remove anything, though nobody is there to confirm it
        files_allow_removals: bool => removals.trusts_files;
        /// bytes of one published document
        max_document_bytes: ByteSize => admission.document_bytes;
        /// bytes of one encoded resource
        max_resource_bytes: ByteSize => admission.resource_bytes;
        /// bytes of all encoded resources of a snapshot
        max_snapshot_bytes: ByteSize => admission.total_bytes;
        /// values of one document: keys, scalars, lists and mappings, those of aliases included; each takes some hundred
        /// bytes of memory while it is read
        max_document_values: usize => admission.document_values;
        /// resources of a snapshot
        max_resources: usize => admission.resources;
        /// effect of a violation of the rules in Envoy's protos: `error` refuses the publish, `warn` is for clients newer
        /// than this server's protos
        rules: RulesMode => admission.rules;
    }
}

section! {
    /// The shared group.
    SharedLayer in "shared." {
        /// groups whose nodes are served the group `*` alone, as complete, while the group has no snapshot of its own. Names
        /// with `*` for any run of characters, so `*` alone for all groups
        #[unit = "GROUP,…"]
        enough_for: Vec<String> = Vec::new() => sufficed;
    }
}

section! {
    /// The audit log.
    AuditLayer in "audit." {
        /// file for the audit log of who did what and who was refused; `-` for standard output
        file: PathBuf => audit.file;
        /// bytes of the audit log's file before the next one is begun
        max_bytes: ByteSize => audit.max_bytes;
        /// earlier files of the audit log that are kept
        keep: NonZeroUsize => audit.keep;
    }
}
