use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::{
    shutdown::Tasks,
    telemetry::Telemetry,
    units::Micros,
    upstream::{budget::Budgets, config::BudgetConfig, credits::Book},
};

const SECOND: Duration = Duration::from_secs(1);

/// At noon of the 30th of January 1970.
const START: Micros = (29 * 86_400 + 43_200) * 1_000_000;

/// What happened, and after how many seconds.
type Log = Arc<Mutex<Vec<(u64, String)>>>;

struct Rig {
    budgets: Budgets,
    telemetry: Telemetry,
    clock: Clock,
    began: Instant,
    log: Log,
    tasks: Tasks,
}

impl Rig {
    fn new(book: Book) -> Self {
        Self {
            budgets: Budgets::new(book),
            telemetry: Telemetry::new().unwrap(),
            clock: Clock::tokio(START),
            began: Instant::now(),
            log: Log::default(),
            tasks: Tasks::default(),
        }
    }

    fn share(&mut self, per_minute: u32, per_month: u64) -> Share {
        let config = BudgetConfig { host: None, per_minute, weight: 1, per_month: Some(per_month) };
        self.budgets.share("h", None, &config, &self.telemetry, self.began.into_std())
    }

    /// Takes `weight` in a task of its own, and logs that as `name`.
    async fn asks(&self, share: &Share, name: &'static str, weight: u32) {
        let (share, clock, log, began) =
            (share.clone(), self.clock.clone(), self.log.clone(), self.began);
        self.tasks.spawn(name, async move {
            let note = |what: String| log.lock().push((began.elapsed().as_secs(), what));
            let told = |_, why: &str| note(format!("{name}: {why}"));
            share.afford(weight, &clock, 600 * SECOND, told).await;
            note(format!("{name} took {weight}"));
        });
        tokio::task::yield_now().await;
    }

    /// Waits until something like `what` has happened.
    async fn until(&self, what: &str) {
        let happened = async {
            while !self.log().iter().any(|(_, own)| own.contains(what)) {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(60 * SECOND, happened).await.unwrap();
    }

    fn log(&self) -> Vec<(u64, String)> {
        self.log.lock().clone()
    }
}

fn lines(expected: &[(u64, &str)]) -> Vec<(u64, String)> {
    expected.iter().map(|(at, what)| (*at, (*what).to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn whom_the_month_refuses_lets_those_pass_who_want_less() {
    let mut rig = Rig::new(Book::default());
    let share = rig.share(1_000, 10);
    rig.asks(&share, "first", 8).await;
    rig.asks(&share, "heavy", 5).await;
    rig.asks(&share, "light", 1).await;
    sleep(SECOND).await;
    let soon =
        [(0, "first took 8"), (0, "heavy: the month's budget is spent"), (0, "light took 1")];
    assert_eq!(rig.log(), lines(&soon));
    // The month has one left, and the next ten; it begins in a day and a half.
    sleep(3 * 86_400 * SECOND).await;
    assert_eq!(rig.log().last(), lines(&[(129_600, "heavy took 5")]).last());
}

#[tokio::test(start_paused = true)]
async fn whom_the_minute_makes_wait_is_not_overtaken_by_those_who_want_less() {
    let mut rig = Rig::new(Book::default());
    let share = rig.share(60, 10_000);
    rig.asks(&share, "first", 15).await;
    rig.asks(&share, "heavy", 15).await;
    rig.asks(&share, "light", 1).await;
    sleep(60 * SECOND).await;
    assert_eq!(
        rig.log(),
        lines(&[(0, "first took 15"), (15, "heavy took 15"), (16, "light took 1")])
    );
}

#[tokio::test(start_paused = true)]
async fn whose_units_cannot_be_written_lets_those_pass_who_want_no_more_than_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Rig::new(Book::open(dir.path(), START).unwrap());
    let share = rig.share(1_000, 1_000);
    let keeper = std::mem::take(&mut rig.budgets).into_book().keeper().unwrap();
    let (_trigger, shutdown) = crate::shutdown::channel();
    rig.tasks.spawn("credits", keeper.run(shutdown));
    share.afford(1, &rig.clock, SECOND, |_, _| {}).await;
    std::fs::create_dir(dir.path().join("credits.json.new")).unwrap();
    rig.asks(&share, "heavy", 50).await;
    rig.until("cannot be written").await;
    rig.asks(&share, "light", 1).await;
    rig.until("light took 1").await;
    assert!(rig.log()[0].1.contains("cannot be written"), "{:?}", rig.log());
    assert!(!rig.log().iter().any(|(_, what)| what == "heavy took 50"));
}
