//! Labels of publishes and of what publishes by itself.

use crate::metrics::table::Label;

label! {
    /// What a publisher wanted.
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
    /// What became of a publish.
    PublishOutcome = "outcome" {
        /// There is a new revision.
        Ok => "ok",
        /// Nothing was different.
        Unchanged => "unchanged",
        /// It was only tried.
        DryRun => "dry_run",
        /// Admission found errors, or what it was asked for cannot be.
        Refused => "refused",
        /// Somebody else published in between, or owns the group.
        Conflict => "conflict",
        /// Something that it named is not there.
        NotFound => "not_found",
        /// The store could not keep it.
        Failed => "failed",
    }
}

label! {
    /// How grave a finding is.
    Severity = "severity" {
        /// It refuses.
        Error => "error",
        /// It is shown.
        Warning => "warning",
    }
}

label! {
    /// How a folder of files stands.
    FolderLabel = "state" {
        /// The group is what the folder says.
        Published => "published",
        /// Validation found errors.
        Refused => "refused",
        /// It cannot be read, or what it says not be stored.
        Failed => "failed",
        /// It is gone, or has no files.
        Held => "held",
        /// Another source has the group.
        Conflict => "conflict",
    }
}

label! {
    /// What happened to an endpoint.
    Change = "change" {
        /// It is new.
        Registered => "registered",
        /// It was there.
        Renewed => "renewed",
        /// It was taken out.
        Deregistered => "deregistered",
        /// Its lease ran out.
        Expired => "expired",
        /// Nothing: what was asked for was refused.
        Refused => "refused",
    }
}
