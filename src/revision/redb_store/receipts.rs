//! Receipts of publishes with an idempotency key: a group keeps as many as revisions, and drops the oldest first.

use std::num::NonZeroUsize;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::{
    failure::Failure,
    records::ReceiptRecord,
    vault::{Place, Vault},
};
use crate::{node::NodeGroup, revision::Receipt};

/// (Group, idempotency key) → the sealed receipt.
pub(super) const RECEIPTS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("receipts");
/// (Group, number) → the idempotency key, in the order of the publishes.
pub(super) const RECEIPT_ORDER: TableDefinition<'static, (&str, u64), &str> = TableDefinition::new("receipt_order");

/// Adds a receipt to those of its group.
pub(super) fn keep(
    txn: &WriteTransaction,
    vault: &Vault,
    group: &NodeGroup,
    receipt: &Receipt,
    retention: NonZeroUsize,
) -> Result<(), Failure> {
    let mut receipts = txn.open_table(RECEIPTS)?;
    let mut order = txn.open_table(RECEIPT_ORDER)?;
    let group = group.as_str();
    let kept = numbered(&order, group)?;
    let number = kept.last().map_or(0, |(number, _)| number + 1);
    let surplus = (kept.len() + 1).saturating_sub(retention.get());
    for (old, key) in kept.iter().take(surplus) {
        order.remove((group, *old))?;
        receipts.remove((group, key.as_str()))?;
    }
    order.insert((group, number), receipt.key.as_str())?;
    let key = (group, receipt.key.as_str());
    let sealed = vault.seal(Place::Receipt(key.0, key.1), &ReceiptRecord::from(receipt));
    receipts.insert(key, sealed.as_slice())?;
    Ok(())
}

/// The receipt under a key.
pub(super) fn find(
    txn: &ReadTransaction,
    vault: &Vault,
    group: &NodeGroup,
    key: &str,
) -> Result<Option<Receipt>, Failure> {
    let sealed = txn.open_table(RECEIPTS)?.get((group.as_str(), key))?;
    sealed
        .map(|sealed| receipt(vault, (group.as_str(), key), sealed.value()))
        .transpose()
}

/// The receipt in a row.
pub(super) fn receipt(vault: &Vault, (group, key): (&str, &str), sealed: &[u8]) -> Result<Receipt, Failure> {
    vault
        .open(Place::Receipt(group, key), sealed)
        .and_then(ReceiptRecord::receipt)
        .filter(|receipt| receipt.key == key)
        .ok_or_else(|| {
            Failure::Damaged(format!(
                "the receipt \"{key}\" of group \"{group}\" is not what was written"
            ))
        })
}

/// Drops a group's receipts.
pub(super) fn forget(txn: &WriteTransaction, group: &NodeGroup) -> Result<(), Failure> {
    let group = group.as_str();
    let mut receipts = txn.open_table(RECEIPTS)?;
    let mut order = txn.open_table(RECEIPT_ORDER)?;
    let kept = numbered(&order, group)?;
    for (number, key) in kept {
        order.remove((group, number))?;
        receipts.remove((group, key.as_str()))?;
    }
    Ok(())
}

/// The keys of a group's receipts, oldest first.
pub(super) fn numbered(
    order: &impl ReadableTable<(&'static str, u64), &'static str>,
    group: &str,
) -> Result<Vec<(u64, String)>, Failure> {
    let rows = order.range((group, 0)..=(group, u64::MAX))?;
    rows.map(|row| {
        let (key, value) = row?;
        Ok((key.value().1, value.value().to_owned()))
    })
    .collect()
}
