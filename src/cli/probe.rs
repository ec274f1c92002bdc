//! `tickwire check --probe`: asks each feed once and shows what came of it.

use std::{
    io::{self, ErrorKind, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use serde::Serialize;

use super::{CheckArgs, Exit, check};
use crate::{
    app::start_sandbox,
    config::Config,
    hub::Hub,
    shutdown::{self, Stage, Tasks},
    telemetry::Telemetry,
    upstream::{
        Deps,
        credits::Book,
        probe::{Probed, probe},
    },
};

/// Longest text of the column of fields.
const FIELDS_WIDTH: usize = 44;

/// How long the sandbox may take to end.
const SANDBOX_END: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Report<'a> {
    feeds: &'a [Probed],
    asked: usize,
    answered: usize,
}

/// Asks the feeds of the configuration that is meant; a report goes to `out`, errors to `err`.
///
/// # Errors
/// When the sandbox cannot be started, or `out` cannot be written.
pub async fn run(args: &CheckArgs, out: &mut impl Write, err: &mut impl Write) -> Result<Exit> {
    let config = match args.config.load() {
        Ok(config) => config,
        Err(errors) => {
            writeln!(err, "{errors}")?;
            return Ok(Exit::BadConfig);
        }
    };
    let probed = ask(&config).await?;
    let written = if args.json { json(&probed, out) } else { table(&probed, out) };
    match written {
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    Ok(if probed.iter().any(Probed::failed) { Exit::Failed } else { Exit::Fine })
}

async fn ask(config: &Config) -> Result<Vec<Probed>> {
    let mut config = config.clone();
    // The one that is configured may be taken by a server that runs.
    config.sandbox.listen.set_port(0);
    let telemetry = Telemetry::new()?;
    let (trigger, shutdown) = shutdown::channel();
    let tasks = Tasks::default();
    let sandbox_url = start_sandbox(&config, &tasks, &shutdown).await?;
    let hub = Arc::new(Hub::new(config.hub.clone(), 1, "probe".into(), &telemetry));
    // A month's count on disk is that of a server, which may be running.
    let deps = Deps { hub, telemetry, sandbox_url, credits: Book::default() };
    let probed = probe(config.feeds, deps).await;
    trigger.advance(Stage::Closing);
    tasks.join(SANDBOX_END).await;
    Ok(probed)
}

fn counts(probed: &[Probed]) -> (usize, usize) {
    let asked = probed.iter().filter(|feed| feed.asked.is_some() || feed.failed());
    let (answered, failed): (Vec<_>, Vec<_>) = asked.partition(|feed| !feed.failed());
    (answered.len() + failed.len(), answered.len())
}

fn json(probed: &[Probed], out: &mut impl Write) -> io::Result<()> {
    let (asked, answered) = counts(probed);
    serde_json::to_writer_pretty(&mut *out, &Report { feeds: probed, asked, answered })?;
    writeln!(out)?;
    out.flush()
}

/// The table, a line for each problem, and how many answer.
fn table(probed: &[Probed], out: &mut impl Write) -> io::Result<()> {
    let heads = ["FEED", "REACHABLE", "AUTHORISED", "TOPICS", "TIME", "CLOCK", "BUDGET", "FIELDS"];
    let rows = [heads.map(str::to_owned)].into_iter().chain(probed.iter().map(row)).collect();
    check::columns(rows, out)?;
    if probed.iter().any(|feed| !feed.problems.is_empty()) {
        writeln!(out)?;
    }
    for feed in probed {
        for problem in &feed.problems {
            writeln!(out, "{}: {problem}", feed.feed)?;
        }
    }
    let (asked, answered) = counts(probed);
    let (feeds, answer) = (
        if asked == 1 { "feed" } else { "feeds" },
        if answered == 1 { "answers" } else { "answer" },
    );
    writeln!(out, "\n{answered} of {asked} {feeds} {answer}")?;
    out.flush()
}

fn row(probed: &Probed) -> [String; 8] {
    let dash = || "-".to_owned();
    let Some(asked) = &probed.asked else {
        let authorised = match (probed.provider, probed.key) {
            ("push", true) => "has a key".to_owned(),
            ("push", false) => "no key".to_owned(),
            _ => dash(),
        };
        let reachable = if probed.failed() { "failed".to_owned() } else { dash() };
        let name = probed.feed.clone();
        return [name, reachable, authorised, dash(), dash(), dash(), dash(), dash()];
    };
    let authorised = asked.authorised.map_or("-", |yes| if yes { "yes" } else { "no" });
    [
        probed.feed.clone(),
        asked.unreachable.unwrap_or("yes").to_owned(),
        authorised.to_owned(),
        format!("{} of {}", asked.topics_found, asked.topics),
        asked
            .time_ms
            .map_or_else(dash, |ms| if ms == 0 { "< 1 ms".to_owned() } else { format!("{ms} ms") }),
        asked.clock_s.map_or_else(dash, clock),
        asked.budget_used.map_or_else(dash, |used| format!("{used} used")),
        if asked.fields.is_empty() { dash() } else { fields(&asked.fields) },
    ]
}

/// Whole seconds: the header that tells them has no others.
fn clock(ahead_s: f64) -> String {
    if ahead_s.abs() <= 1.0 { "ok".to_owned() } else { format!("{ahead_s:+.0} s") }
}

/// The names as far as there is room for them, and how many there are besides.
fn fields(names: &[String]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let apart = if index == 0 { "" } else { ", " };
        if index > 0 && text.len() + apart.len() + name.len() > FIELDS_WIDTH {
            return format!("{text} +{}", names.len() - index);
        }
        text.push_str(apart);
        text.push_str(name);
    }
    text
}
