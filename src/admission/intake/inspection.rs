//! Inspects every message of a resource for references, broken rules, contradictions, fields newer than our protos, and
//! parts that cannot be visited.

use std::{collections::BTreeMap, time::SystemTime};

use prost_reflect::{DynamicMessage, ReflectMessage as _};

use crate::{
    admission::{
        Severity, checks, codes,
        inspect::{self, Fault, Visit},
        located::Mention,
        message::Builder,
        path::Path,
        place::Positions,
        reference,
        rules::{RuleCheck, Violation},
    },
    resource::Reference,
};

pub(super) struct Inspection<'b> {
    builder: Builder<'b>,
    positions: Positions<'b>,
    /// The references, each with the first field that makes it.
    references: BTreeMap<Reference, Mention>,
    rules: RuleCheck,
    /// The name field of the resource if it is empty: an empty name is reported once, not also as a broken rule.
    nameless: Option<&'static str>,
    /// The time at which certificates must be valid.
    now: Option<SystemTime>,
}

// === impl Inspection ===

impl<'b> Inspection<'b> {
    /// Walks over `message`, pushes findings, and returns the references of the resource.
    pub(super) fn of(
        message: &DynamicMessage,
        builder: Builder<'b>,
        positions: Positions<'b>,
        nameless: Option<&'static str>,
        now: Option<SystemTime>,
    ) -> BTreeMap<Reference, Mention> {
        let limits = builder.limits;
        let mut inspection = Self {
            builder,
            positions,
            references: BTreeMap::new(),
            rules: RuleCheck::default(),
            nameless,
            now,
        };
        inspect::walk(message, limits, &mut inspection);
        inspection.references
    }

    fn references(&mut self, message: &DynamicMessage, path: &Path<'_>) {
        let (positions, references) = (self.positions, &mut self.references);
        reference::collect(message, &mut |field, reference| {
            references.entry(reference).or_insert_with(|| {
                let path = path.field(field);
                Mention {
                    at: positions.of(&path),
                    field: path.text(),
                }
            });
        });
    }

    fn newer_fields(&mut self, message: &DynamicMessage, path: &Path<'_>) {
        for field in message.unknown_fields() {
            let text = format!(
                "field {} of {} is newer than this server: served as it is, not checked",
                field.number(),
                message.descriptor().full_name()
            );
            self.push(Severity::Warning, codes::NEWER_FIELD, path, text);
        }
    }

    fn push(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String) {
        let at = self.positions.of(path);
        let finding = self.builder.subject.finding(severity, code, at, path, message);
        self.builder.findings.push(finding);
    }
}

impl Visit for Inspection<'_> {
    fn message(&mut self, message: &DynamicMessage, path: &Path<'_>) {
        self.references(message, path);
        checks::message(message, path, self.now, self);
        self.newer_fields(message, path);
        let severity = self.builder.limits.rules;
        let (builder, positions, nameless) = (&mut self.builder, &self.positions, self.nameless);
        self.rules
            .enter(message, path, &mut |path: &Path<'_>, violation: &Violation| {
                if path.is_field(nameless) {
                    return;
                }
                if builder.findings.is_full(severity) {
                    return builder.findings.leave_out(severity);
                }
                let at = positions.of(path);
                let finding = builder
                    .subject
                    .finding(severity, violation.code, at, path, violation.to_string());
                builder.findings.push(finding);
            });
    }

    fn leave(&mut self) {
        self.rules.leave();
    }

    fn fault(&mut self, fault: Fault, path: &Path<'_>) {
        self.push(Severity::Error, fault.code(), path, fault.to_string());
    }
}

impl checks::Report for Inspection<'_> {
    fn report(&mut self, severity: Severity, code: &'static str, path: &Path<'_>, message: String) {
        self.push(severity, code, path, message);
    }
}
