//! Sealed values: what they hide, their place, and their keys.

use super::*;
use crate::revision::{keys::tests::keys, redb_store::records::ReceiptRecord};

fn record(key: &str) -> ReceiptRecord {
    ReceiptRecord {
        key: key.to_owned(),
        ..ReceiptRecord::default()
    }
}

fn sealed() -> Vault {
    Vault::make(Some(&keys(&[1])), None)
}

fn reopened(vault: &Vault, keys: Option<&StoreKeys>) -> Result<Vault, StoreError> {
    Vault::unlock(
        vault.format(),
        &vault.missing(&Rows::new()),
        keys,
        Path::new("chancery.redb"),
    )
}

const RECEIPT: Place<'_> = Place::Receipt("group", "key");

#[test]
fn sealed_value_says_nothing_and_is_another_each_time() {
    let vault = sealed();
    let [one, two] = [(); 2].map(|()| vault.seal(RECEIPT, &record("hunter2")));
    assert_ne!(one, two);
    assert!(!one.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(vault.open::<ReceiptRecord>(RECEIPT, &one).unwrap(), record("hunter2"));
    assert_eq!(vault.open::<ReceiptRecord>(RECEIPT, &two).unwrap(), record("hunter2"));
}

#[test]
fn value_opens_in_its_place_alone() {
    let vault = sealed();
    let object = Kind::Leaf.address([7; 16]);
    let number = u64::from_le_bytes(*b"keykeyke");
    let places = [
        Place::Vault(CONTENT),
        Place::Vault(ADDRESSES),
        Place::Object(&object),
        Place::Object(&Kind::List.address([7; 16])),
        Place::Object(&Kind::Leaf.address([8; 16])),
        Place::Revision("group", 1),
        Place::Revision("group", 2),
        Place::Revision("grou", 1),
        Place::Revision("group", number),
        Place::Receipt("group", "key"),
        Place::Receipt("groupk", "ey"),
        Place::Receipt("group", "keykeyke"),
    ];
    for (at, place) in places.iter().enumerate() {
        let value = vault.seal(*place, &record("a"));
        for (other, tried) in places.iter().enumerate() {
            let opened = vault.open::<ReceiptRecord>(*tried, &value);
            assert_eq!(opened.is_some(), at == other, "{at} {other}");
        }
    }
}

#[test]
fn value_of_another_store_does_not_open() {
    let (one, other) = (sealed(), sealed());
    let value = one.seal(RECEIPT, &record("a"));
    assert!(
        other.open::<ReceiptRecord>(RECEIPT, &value).is_none(),
        "the key is the same"
    );
}

#[test]
fn no_byte_of_a_sealed_value_can_be_changed() {
    let vault = Vault::make(Some(&keys(&[1, 2])), None);
    let value = vault.seal(RECEIPT, &record("a"));
    for at in 0..value.len() {
        let mut changed = value.clone();
        changed[at] ^= 1;
        assert!(vault.open::<ReceiptRecord>(RECEIPT, &changed).is_none(), "byte {at}");
        assert!(
            vault.open::<ReceiptRecord>(RECEIPT, &value[..at]).is_none(),
            "{at} bytes"
        );
    }
}

#[test]
fn address_tells_neither_hash_nor_store() {
    let hash = [7; 16];
    let (one, other, plain) = (sealed(), sealed(), Vault::make(None, None));
    let address = |vault: &Vault| vault.address(Kind::Resource, &hash);
    assert_eq!(address(&plain), Kind::Resource.address(hash));
    assert_ne!(address(&one), address(&plain));
    assert_ne!(address(&one), address(&other));
    assert_ne!(one.address(Kind::Leaf, &hash)[1..], address(&one)[1..]);
    assert_eq!(address(&reopened(&one, Some(&keys(&[1]))).unwrap()), address(&one));
}

#[test]
fn first_key_seals_and_the_others_open() {
    let before = sealed();
    let value = before.seal(RECEIPT, &record("a"));
    let after = reopened(&before, Some(&keys(&[2, 1]))).unwrap();
    assert_eq!(after.open::<ReceiptRecord>(RECEIPT, &value).unwrap(), record("a"));
    let value = after.seal(RECEIPT, &record("b"));
    assert!(before.open::<ReceiptRecord>(RECEIPT, &value).is_none());
    assert_eq!(before.content_key().as_bytes(), after.content_key().as_bytes());
}

#[test]
fn what_is_missing_is_named() {
    let vault = sealed();
    let id = keys(&[1]).first().id().to_string();
    let none = reopened(&vault, None).unwrap_err();
    assert!(matches!(&none, StoreError::KeyNeeded { missing, .. } if *missing == id));
    let other = reopened(&vault, Some(&keys(&[2, 3]))).unwrap_err().to_string();
    for part in ["chancery.redb", &id, "store.key", &keys(&[2, 3]).ids()] {
        assert!(other.contains(part), "{part}: {other}");
    }
    let plain = reopened(&Vault::make(None, None), Some(&keys(&[1]))).unwrap_err();
    assert!(matches!(plain, StoreError::NotSealed { .. }));
    assert!(plain.to_string().contains("chancery rekey"), "{plain}");
}

#[test]
fn vault_that_lacks_a_row_is_damaged_and_not_begun_anew() {
    let vault = sealed();
    let rows = vault.missing(&Rows::new());
    assert_eq!(rows.len(), 4);
    for (gone, _) in &rows {
        let rest: Rows = rows.iter().filter(|(name, _)| name != gone).cloned().collect();
        let refused = Vault::unlock(SEALED_FORMAT, &rest, Some(&keys(&[1])), Path::new("chancery.redb"));
        assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{gone}");
    }
}
