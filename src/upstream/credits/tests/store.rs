use std::fs;

use tempfile::tempdir;

use super::mark;
use crate::upstream::credits::{
    form::{Account, Record},
    store::{StateError, Store},
};

fn record(host: &str, reserved: u64) -> Record {
    Record { account: Account::new(host, None), mark: mark(reserved) }
}

#[test]
fn what_was_written_last_is_read() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("made/here");
    let (store, records) = Store::open(&path).unwrap();
    assert_eq!(records, []);
    store.write(&[record("a", 1), record("b", 2)]).unwrap();
    store.write(&[record("a", 3)]).unwrap();
    drop(store);
    assert_eq!(Store::open(&path).unwrap().1, [record("a", 3)]);
}

#[test]
fn a_write_that_was_interrupted_leaves_the_old_count() {
    let dir = tempdir().unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    store.write(&[record("a", 1)]).unwrap();
    drop(store);
    fs::write(dir.path().join("credits.json.new"), "{\"version\":1,\"bud").unwrap();
    assert_eq!(Store::open(dir.path()).unwrap().1, [record("a", 1)]);
}

#[test]
fn a_second_process_is_refused_until_the_first_has_ended() {
    let dir = tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    assert!(!error.is_permanent());
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_damaged_file_is_named_left_as_it_is_and_said_to_be_removed() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("credits.json");
    for content in [&b"{"[..], b"", b"\xff\xfe", b"{\"version\":9}"] {
        fs::write(&path, content).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(error.is_permanent());
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("remove it"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_told_at_once() {
    let dir = tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("below")).unwrap_err();
    assert!(error.to_string().contains("make the directory"), "{error}");
    // Where the new file is to lie, something else does.
    fs::create_dir(dir.path().join("credits.json.new")).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
}
