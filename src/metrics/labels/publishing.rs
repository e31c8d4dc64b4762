//! Labels of publishes and of the sources.

use crate::metrics::table::Label;

label! {
    /// The kind of a publish.
    Operation = "operation" {
        /// `replace`.
        Replace => "replace",
        /// `apply` and `delete`, and every registration.
        Patch => "patch",
        /// `rollback`.
        Rollback => "rollback",
        /// `delete-snapshot`.
        Delete => "delete",
    }
}

label! {
    /// The outcome of a publish.
    PublishOutcome = "outcome" {
        /// A new revision was made.
        Ok => "ok",
        /// The state was already as published.
        Unchanged => "unchanged",
        /// The publish was a dry run.
        DryRun => "dry_run",
        /// Admission found errors, or the request is not possible.
        Refused => "refused",
        /// Another publish came in between, or another source owns the group.
        Conflict => "conflict",
        /// Something that the publish names does not exist.
        NotFound => "not_found",
        /// The store could not write.
        Failed => "failed",
    }
}

label! {
    /// The severity of a finding.
    Severity = "severity" {
        /// The finding refuses the publish.
        Error => "error",
        /// The finding is only shown.
        Warning => "warning",
    }
}

label! {
    /// The state of a folder of files.
    FolderLabel = "state" {
        /// The group has the content of the folder.
        Published => "published",
        /// Validation found errors.
        Refused => "refused",
        /// The folder cannot be read, or its content cannot be stored.
        Failed => "failed",
        /// The folder is gone or has no files, and the group keeps its content.
        Held => "held",
        /// Another source owns the group.
        Conflict => "conflict",
    }
}

label! {
    /// The change of a registered endpoint.
    Change = "change" {
        /// The endpoint is new.
        Registered => "registered",
        /// The endpoint was registered before.
        Renewed => "renewed",
        /// The endpoint was removed by request.
        Deregistered => "deregistered",
        /// The endpoint's lease ended.
        Expired => "expired",
        /// The request was refused, and nothing changed.
        Refused => "refused",
    }
}
