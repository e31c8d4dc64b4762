//! The rules of one message, ready to be checked.

use prost_reflect::{FieldDescriptor, OneofDescriptor};

use super::check::Check;

#[derive(Debug, Default)]
pub(super) struct MessageRules {
    /// `validate.disabled`: neither the message nor anything in it is checked.
    pub(super) exempt: bool,
    pub(super) fields: Vec<FieldRules>,
    /// Oneofs of which one member must be given.
    pub(super) oneofs: Vec<RequiredOneof>,
    /// Fields that hold secrets.
    pub(super) hidden: Vec<String>,
    /// Fields whose messages are not checked (`message.skip`).
    pub(super) skipped: Vec<String>,
}

#[derive(Debug)]
pub(super) struct FieldRules {
    pub(super) field: FieldDescriptor,
    /// The rule that makes the field required, if any.
    pub(super) required: Option<&'static str>,
    pub(super) check: Option<Check>,
    /// True if the value is checked even when absent: without presence, absent equals empty. False if the empty value
    /// passes anyway.
    pub(super) check_absent: bool,
}

#[derive(Debug)]
pub(super) struct RequiredOneof {
    pub(super) oneof: OneofDescriptor,
    pub(super) members: Vec<FieldDescriptor>,
}
