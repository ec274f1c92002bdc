use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::tempdir;

use super::{DAY_US, WALL};
use crate::{
    shutdown::{self, Stage, Tasks, Trigger},
    units::Secret,
    upstream::credits::{Book, Credits},
};

/// A process that spends of one budget.
struct Process {
    credits: Credits,
    trigger: Trigger,
    tasks: Tasks,
}

fn start(dir: &Path, key: &str, limit: u64) -> Process {
    let mut book = Book::open(dir, WALL).unwrap();
    let credits = book.credits("host", Some(&Secret::new(key)), limit);
    let (trigger, shutdown) = shutdown::channel();
    let tasks = Tasks::default();
    tasks.spawn("credits", book.keeper().unwrap().run(shutdown));
    Process { credits, trigger, tasks }
}

impl Process {
    /// Spends as a poll loop does.
    async fn spend(&self, units: u32) {
        while let Err(denied) = self.credits.spend(units, WALL) {
            tokio::time::sleep(denied.wait).await;
        }
    }

    async fn stop(self) {
        self.trigger.advance(Stage::Stopping);
        assert!(self.tasks.join(Duration::from_secs(20)).await);
    }
}

fn disk(dir: &Path) -> String {
    fs::read_to_string(dir.join("credits.json")).unwrap()
}

#[tokio::test]
async fn a_clean_stop_keeps_the_exact_count_and_the_key_is_not_in_the_file() {
    let dir = tempdir().unwrap();
    let process = start(dir.path(), "hunter2", 10_000);
    for _ in 0..70 {
        process.spend(1).await;
    }
    assert!(!disk(dir.path()).contains("\"reserved\": 70"));
    let credits = process.credits.clone();
    process.stop().await;
    assert!(disk(dir.path()).contains("\"reserved\": 70"), "{}", disk(dir.path()));
    assert!(!disk(dir.path()).contains("hunter2"));
    assert!(credits.check(1, WALL).is_err());
    let process = start(dir.path(), "hunter2", 10_000);
    assert_eq!(process.credits.remaining(WALL), 9_930);
    process.stop().await;
}

#[tokio::test]
async fn a_budget_that_is_left_out_for_a_while_is_remembered_and_another_key_has_its_own() {
    let dir = tempdir().unwrap();
    let process = start(dir.path(), "one", 5);
    process.spend(3).await;
    process.stop().await;
    let process = start(dir.path(), "two", 5);
    assert_eq!(process.credits.remaining(WALL), 5);
    process.spend(1).await;
    process.stop().await;
    let process = start(dir.path(), "one", 5);
    assert_eq!(process.credits.remaining(WALL), 2);
    process.stop().await;
}

#[tokio::test]
async fn a_start_that_spends_nothing_changes_nothing() {
    let dir = tempdir().unwrap();
    let process = start(dir.path(), "one", 10_000);
    process.spend(1).await;
    process.stop().await;
    let before = disk(dir.path());
    for _ in 0..3 {
        let process = start(dir.path(), "one", 10_000);
        assert_eq!(disk(dir.path()), before);
        process.stop().await;
    }
    assert_eq!(disk(dir.path()), before);
}

#[tokio::test]
async fn a_past_month_is_not_carried_along() {
    let dir = tempdir().unwrap();
    let process = start(dir.path(), "one", 5);
    process.spend(3).await;
    process.stop().await;
    assert!(disk(dir.path()).contains("2026-11"));
    let book = Book::open(dir.path(), WALL + 10 * DAY_US).unwrap();
    let (trigger, shutdown) = shutdown::channel();
    trigger.advance(Stage::Stopping);
    book.keeper().unwrap().run(shutdown).await;
    assert!(!disk(dir.path()).contains("2026-11"), "{}", disk(dir.path()));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_cannot_be_written_lets_what_is_reserved_be_spent_and_is_tried_again() {
    let dir = tempdir().unwrap();
    let process = start(dir.path(), "one", 1_000);
    process.spend(1).await;
    let obstacle = dir.path().join("credits.json.new");
    fs::create_dir(&obstacle).unwrap();
    for _ in 0..9 {
        assert_eq!(process.credits.spend(1, WALL), Ok(()));
    }
    let mut spending = Box::pin(process.spend(1));
    let credits = &process.credits;
    let waiting = async {
        let message = loop {
            if let Some(message) = credits.trouble() {
                break message;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        tokio::time::sleep(Duration::from_secs(60)).await;
        message
    };
    let message = tokio::select! {
        () = &mut spending => None,
        message = waiting => Some(message),
    };
    let message = message.expect("spent what is not on disk");
    assert!(message.contains("cannot be written to") && message.contains("credits.json"));
    assert_eq!(credits.remaining(WALL), 990);
    fs::remove_dir(&obstacle).unwrap();
    spending.as_mut().await;
    drop(spending);
    assert_eq!((credits.remaining(WALL), credits.trouble()), (989, None));
    process.stop().await;
    assert!(disk(dir.path()).contains("\"reserved\": 11"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_spent_while_the_server_stops_is_in_the_count_that_is_kept() {
    for _ in 0..20 {
        let dir = tempdir().unwrap();
        let process = start(dir.path(), "one", 1_000_000);
        process.spend(1).await;
        let stopped = Arc::new(AtomicBool::new(false));
        let spenders: Vec<_> = (0..2)
            .map(|_| {
                let (credits, stopped) = (process.credits.clone(), stopped.clone());
                thread::spawn(move || {
                    let mut spent = 0;
                    while !stopped.load(Ordering::SeqCst) {
                        spent += u64::from(credits.spend(1, WALL).is_ok());
                    }
                    spent
                })
            })
            .collect();
        process.stop().await;
        stopped.store(true, Ordering::SeqCst);
        let spent: u64 = spenders.into_iter().map(|spender| spender.join().unwrap()).sum();
        assert!(disk(dir.path()).contains(&format!("\"reserved\": {}", spent + 1)));
    }
}
