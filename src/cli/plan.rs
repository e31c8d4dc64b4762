//! The plan of a publish as text: its changes field by field, their receivers, and their order.

use super::{
    findings::short_type,
    output::{count, escape, some_of},
};
use crate::{
    proto::admin::{FieldChange, Plan, Receiver, ResourceDiff, Rollout, Step, TypeChange, TypePlan, rollout::Form},
    resource::ResourceType,
};

/// Names shown of each kind of change; the rest is counted.
const NAMES: usize = 20;
/// Fields shown of one resource.
const FIELDS: usize = 12;
/// Characters shown of one value.
const VALUE_CHARS: usize = 100;
/// Receivers shown.
const RECEIVERS: usize = 10;
/// Nodes named of one rollout, and rollouts shown.
const NODES: usize = 5;
const ROLLOUTS: usize = 5;

/// One resource a line: `+` added, `~` changed, with its fields if the plan has them, `-` removed.
pub(super) fn changes(changes: &[TypeChange], plan: Option<&Plan>) -> String {
    let mut text = String::new();
    for change in changes {
        let kind = short_type(&change.type_url);
        let planned = plan.and_then(|plan| plan.types.iter().find(|planned| planned.type_url == change.type_url));
        for (sign, names) in [('+', &change.added), ('~', &change.changed), ('-', &change.removed)] {
            for name in names.iter().take(NAMES) {
                text.push_str(&format!("  {sign} {kind} {}\n", escape(name)));
                if sign == '~' {
                    text.push_str(&fields(planned, name));
                }
            }
            if names.len() > NAMES {
                text.push_str(&format!("  {sign} {kind}: {} more\n", names.len() - NAMES));
            }
        }
    }
    text
}

/// The receivers and the order; without receivers, a line that says so.
pub(super) fn delivery(plan: &Plan, group: &str) -> String {
    if !plan.is_next {
        return String::new();
    }
    let group = escape(group);
    let nodes = count(plan.connected_total as usize, "connected node");
    let mut text = match (plan.connected_total, plan.receivers_total) {
        (0, _) => format!("no node of group {group} is connected: nobody receives it now\n"),
        (_, 0) => format!("received by none of {nodes}\n"),
        (_, receivers) => format!("received by {receivers} of {nodes}:\n"),
    };
    for receiver in plan.receivers.iter().take(RECEIVERS) {
        text.push_str(&format!("  {}\n", subscriptions(receiver)));
    }
    let unnamed = (plan.receivers_total as usize).saturating_sub(plan.receivers.len().min(RECEIVERS));
    if unnamed > 0 {
        text.push_str(&format!("  … {unnamed} more\n"));
    }
    for rollout in plan.rollouts.iter().take(ROLLOUTS) {
        text.push_str(&order(rollout));
    }
    let left_out: u32 = plan.rollouts.iter().skip(ROLLOUTS).map(|rollout| rollout.nodes).sum();
    let left_out = left_out + plan.receivers_without_rollout;
    if left_out > 0 {
        text.push_str(&format!(
            "to {} with other subscriptions in an order of their own\n",
            count(left_out as usize, "more node")
        ));
    }
    text
}

fn fields(planned: Option<&TypePlan>, name: &str) -> String {
    let resource = planned.and_then(|planned| planned.resources.iter().find(|resource| resource.name == name));
    let Some(ResourceDiff {
        fields, more_fields, ..
    }) = resource
    else {
        return String::new();
    };
    let mut text = String::new();
    for field in fields.iter().take(FIELDS) {
        text.push_str(&format!("      {}\n", line(field)));
    }
    let more = fields.len().saturating_sub(FIELDS) + *more_fields as usize;
    if more > 0 {
        text.push_str(&format!("      … {} (-o json shows more)\n", count(more, "more field")));
    }
    text
}

/// `connect_timeout: "1s" → "2s"`
fn line(field: &FieldChange) -> String {
    let path = escape(&field.path);
    if field.sensitive && field.before.is_some() && field.after.is_some() {
        return format!("{path}: changed (a secret, not shown)");
    }
    if field.before.is_none() && field.after.is_none() {
        return format!("{path}: changed");
    }
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "(not set)".to_owned(), shortened);
    format!("{path}: {} → {}", value(&field.before), value(&field.after))
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => escape(&value[..end]) + "…",
        None => escape(value),
    }
}

/// `envoy-1 (group demo): cluster all, endpoint 2 names`
fn subscriptions(receiver: &Receiver) -> String {
    let texts = receiver.subscriptions.iter().map(|one| {
        let what = if one.wildcard {
            "all".to_owned()
        } else {
            count(one.names as usize, "name")
        };
        format!("{} {what}", short_type(&one.type_url))
    });
    let texts: Vec<String> = texts.collect();
    format!(
        "{} (group {}): {}",
        escape(&receiver.node_id),
        escape(&receiver.group),
        texts.join(", ")
    )
}

fn order(rollout: &Rollout) -> String {
    let form = match rollout.form() {
        Form::AdsSotw => "on ADS (SotW), in this order",
        Form::AdsDelta => "on ADS (delta), in this order",
        Form::PerTypeSotw => "on a stream for each type (SotW), in no order",
        Form::PerTypeDelta => "on a stream for each type (delta), in no order",
        Form::Rest => "over REST, at the next poll of each type",
        Form::Unspecified => "in this order",
    };
    let ids: Vec<String> = rollout.node_ids.iter().map(|id| escape(id)).collect();
    let mut names = some_of(&ids, NODES);
    if rollout.nodes as usize > ids.len() && ids.len() <= NODES {
        names.push_str(" and more");
    }
    let mut text = format!("to {} {form}: {names}\n", count(rollout.nodes as usize, "node"));
    for (index, step) in rollout.steps.iter().enumerate() {
        let before = rollout.steps[..index]
            .iter()
            .filter(|before| before.round < step.round)
            .count();
        text.push_str(&format!("  {}. {}{}\n", index + 1, gist(step), gate(before)));
    }
    text
}

/// `CDS +1 ~2`
fn gist(step: &Step) -> String {
    let name = ResourceType::from_type_url(&step.type_url)
        .map_or_else(|| escape(&step.type_url), |known| known.discovery_name().to_uppercase());
    let mut text = name;
    for (sign, number) in [("+", step.added), ("~", step.changed), ("-", step.removed)] {
        if number > 0 {
            text.push_str(&format!(" {sign}{number}"));
        }
    }
    if step.repeated > 0 {
        text.push_str(&format!(" ({} again)", step.repeated));
    }
    text
}

/// The responses whose ACK a step waits for.
fn gate(before: usize) -> String {
    match before {
        0 => String::new(),
        1 => ", once 1 is ACKed".to_owned(),
        2 => ", once 1 and 2 are ACKed".to_owned(),
        more => format!(", once 1 to {more} are ACKed"),
    }
}

#[cfg(test)]
mod tests;
