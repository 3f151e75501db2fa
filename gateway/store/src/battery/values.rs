//! Values of all sizes and keys of any bytes are stored unchanged.

use bytes::Bytes;

use super::key;
use crate::{Commit, Key, SharedStore};

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
}

/// Nothing is padded, cut or joined, around the sizes at which implementations change their ways.
pub async fn values_of_all_sizes_come_back(store: SharedStore) {
    let sizes = [0, 1, 7, 8, 9, 15, 16, 17, 255, 256, 4095, 4096, 4097, 65_535, 65_536, 1 << 20];
    for size in sizes {
        let at = key(format!("t/{size}"));
        store.commit(Commit::new().put(at.clone(), pattern(size))).await.unwrap();
        assert_eq!(store.get(&at).await.unwrap().unwrap().value, pattern(size), "{size}");
    }
    // And still do once everything is there.
    for record in store.scan(b"t/", None, 100).await.unwrap() {
        assert_eq!(record.value, pattern(record.value.len()));
        assert_eq!(record.key, key(format!("t/{}", record.value.len())));
    }
}

/// A value of half the limit of a commit, replaced by others of its size and by a small one.
pub async fn a_large_value_comes_back(store: SharedStore) {
    let size = Commit::MAX_BYTES / 2;
    for value in [pattern(size), Bytes::from(vec![7; size]), Bytes::from_static(b"small")] {
        store.commit(Commit::new().put(key("t/a"), value.clone())).await.unwrap();
        assert!(store.get(&key("t/a")).await.unwrap().unwrap().value == value);
    }
}

/// Keys work up to their limit.
pub async fn the_longest_key_works(store: SharedStore) {
    let longest = Key::new([b"t/".to_vec(), vec![b'k'; Key::MAX_LEN - 2]].concat()).unwrap();
    store.commit(Commit::new().put(longest.clone(), "x")).await.unwrap();
    assert_eq!(&store.get(&longest).await.unwrap().unwrap().value[..], b"x");
    assert_eq!(store.scan(b"t/", None, 10).await.unwrap()[0].key, longest);
}

/// Keys need not be text.
pub async fn keys_of_any_bytes_work(store: SharedStore) {
    for byte in 0..=u8::MAX {
        let at = Key::new(vec![b't', b'/', byte]).unwrap();
        store.commit(Commit::new().put(at, vec![byte])).await.unwrap();
    }
    let found = store.scan(b"t/", None, 1000).await.unwrap();
    let values: Vec<u8> = found.iter().map(|record| record.value[0]).collect();
    assert_eq!(values, (0..=u8::MAX).collect::<Vec<_>>());
}
