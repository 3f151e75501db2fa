//! What a request gathers takes room in memory, and is refused where there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery_identity::Room;
use chancery_secrets::Page;
use chancery_secrets::kv::{KvError, SecretData};
use chancery_secrets::transit::{NewKey, Protection, SettingsUpdate, TransitError, TransitKeyType};

use crate::fixture::{Fixture, Somebody, path};

/// So many bytes of room, and how many were taken.
fn room(most: usize) -> (Room, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let room = Room::of(move |bytes| {
        let more = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= most);
        count.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    });
    (room, taken)
}

fn with(mut somebody: Somebody, room: &Room) -> Somebody {
    somebody.context.room = room.clone();
    somebody
}

#[tokio::test]
async fn a_long_list_takes_room_as_it_grows() {
    let f = Fixture::new();
    let admin = f.admin().await;
    for n in 0..600 {
        f.write(&admin, &format!("many/a-name-of-thirty-characters-{n:03}"), "{}", None)
            .await
            .unwrap();
    }
    let (large, taken) = room(1 << 20);
    let admin = with(admin, &large);
    assert_eq!(f.list(&admin, "many").await.unwrap().len(), 600);
    let all = taken.load(Ordering::Acquire);
    assert!((600 * 64..600 * 256).contains(&all), "{all}");

    let (small, taken) = room(all / 2);
    let admin = with(admin, &small);
    let listed = f.list(&admin, "many").await;
    assert!(matches!(listed, Err(KvError::NoRoom(_))), "{listed:?}");
    assert!(taken.load(Ordering::Acquire) > all / 4, "it began");
    assert_eq!(f.last_audited()["outcome"]["code"], "no-room");
}

#[tokio::test]
async fn a_value_takes_room_before_it_is_answered() {
    let f = Fixture::new();
    let admin = f.admin().await;
    let value = format!(r#"{{"a":"{}"}}"#, "x".repeat(10_000));
    f.write(&admin, "large", &value, None).await.unwrap();
    let (small, _) = room(15_000);
    let admin = with(admin, &small);
    assert!(matches!(f.read(&admin, "large").await, Err(KvError::NoRoom(_))));
    let change = SecretData::from_json(r#"{"b":1}"#).unwrap();
    let patched = f.kv().patch(&admin.context, &admin.caller, &path("large"), &change, None).await;
    assert!(matches!(patched, Err(KvError::NoRoom(_))), "{patched:?}");
    let (enough, _) = room(25_000);
    let admin = with(admin, &enough);
    assert_eq!(f.read(&admin, "large").await.unwrap(), value);
}

#[tokio::test]
async fn a_list_of_keys_takes_room() {
    let f = Fixture::new();
    let admin = f.admin().await;
    for n in 0..3 {
        let name = format!("key-{n}").parse().unwrap();
        let new = NewKey {
            key_type: Some(TransitKeyType::Aes256Gcm96),
            protection: Some(Protection::Software),
            settings: SettingsUpdate::default(),
        };
        f.transit().create(&admin.context, &admin.caller, &name, new).await.unwrap();
    }
    let (small, _) = room(100);
    let admin = with(admin, &small);
    let listed = f.transit().list(&admin.context, &admin.caller, &Page::ALL).await;
    assert!(matches!(listed, Err(TransitError::NoRoom(_))), "{listed:?}");
}
