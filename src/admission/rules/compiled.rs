//! The rules of one message, ready to be checked.

use prost_reflect::{FieldDescriptor, OneofDescriptor};

use super::check::Check;

/// What a message must keep to.
#[derive(Debug, Default)]
pub(super) struct MessageRules {
    /// `validate.disabled`: nothing in it is checked, nor in what it holds.
    pub(super) exempt: bool,
    pub(super) fields: Vec<FieldRules>,
    /// Oneofs of which one member must be given.
    pub(super) oneofs: Vec<RequiredOneof>,
    /// Fields whose values nobody may see.
    pub(super) hidden: Vec<String>,
    /// Fields whose messages are not looked into (`message.skip`).
    pub(super) skipped: Vec<String>,
}

/// What a field must keep to.
#[derive(Debug)]
pub(super) struct FieldRules {
    pub(super) field: FieldDescriptor,
    /// The rule by which it must be given, if there is one.
    pub(super) required: Option<&'static str>,
    pub(super) check: Option<Check>,
    /// Whether its value is checked when it is not given, since without presence that is the same as given as empty. Never
    /// where the empty value passes.
    pub(super) check_absent: bool,
}

#[derive(Debug)]
pub(super) struct RequiredOneof {
    pub(super) oneof: OneofDescriptor,
    pub(super) members: Vec<FieldDescriptor>,
}
