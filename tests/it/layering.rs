//! The direction of dependencies, as ARCHITECTURE.md has it, and the sizes of files and functions.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What each module may use besides those that everyone may.
const MAY_USE: [(&str, &[&str]); 22] = [
    ("units", &[]),
    ("market", &["units"]),
    ("telemetry", &[]),
    ("shutdown", &[]),
    ("protocol", &[]),
    ("access", &["protocol"]),
    ("hub", &["protocol"]),
    ("upstream", &["hub"]),
    ("indicators", &["hub", "protocol"]),
    ("store", &["hub", "protocol"]),
    ("bus", &["hub", "protocol"]),
    ("delivery", &["hub", "protocol"]),
    ("session", &["protocol", "access", "delivery"]),
    ("http", &["protocol", "access", "hub", "delivery", "session"]),
    ("documents", &["protocol", "session", "http", "config"]),
    ("sandbox", &[]),
    ("server", &["http", "access"]),
    ("config", &["server", "access", "delivery", "hub", "sandbox", "upstream"]),
    ("cli", ANY),
    ("app", ANY),
    ("main", ANY),
    ("lib", ANY),
];
const ANY: &[&str] = &["*"];
/// What everyone may use but those of this list themselves.
const FOUNDATION: [&str; 4] = ["units", "market", "telemetry", "shutdown"];

/// Files that decide and never act: no clock, no I/O, no task.
const PURE: &[&str] = &[
    "src/market/",
    "src/protocol/",
    "src/documents/",
    "src/upstream/providers/",
    "src/upstream/backoff.rs",
    "src/upstream/breaker.rs",
    "src/upstream/schedule.rs",
    "src/upstream/budget.rs",
    "src/upstream/credits/form.rs",
    "src/upstream/credits/ledger.rs",
    "src/upstream/minute.rs",
    "src/upstream/pace.rs",
    "src/upstream/validate.rs",
    "src/upstream/consolidate/apart.rs",
    "src/upstream/consolidate/median",
    "src/upstream/stream/outgoing.rs",
    "src/upstream/stream/retry.rs",
    "src/upstream/stream/watchdog.rs",
    "src/hub/ring.rs",
    "src/hub/freshness.rs",
    "src/hub/untold.rs",
    "src/delivery/outbox",
    "src/delivery/view.rs",
    "src/delivery/run.rs",
    "src/delivery/turns.rs",
    "src/delivery/account.rs",
    "src/delivery/ledger.rs",
    "src/delivery/register.rs",
    "src/session/heartbeat.rs",
    "src/session/handshake.rs",
    "src/session/extension.rs",
    "src/session/frames.rs",
    "src/session/deflate.rs",
    "src/sandbox/streams/binance",
    "src/sandbox/streams/coinbase.rs",
    "src/sandbox/streams/kraken.rs",
    "src/sandbox/streams/meter.rs",
];

const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
const BANNED_NAMES: [&str; 5] = ["utils", "common", "types", "helpers", "manager"];

fn sources(dir: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
    let mut found = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    path.strip_prefix(root).unwrap().to_string_lossy().into_owned()
}

fn module(path: &Path) -> String {
    let name = relative(path);
    let first = name.strip_prefix("src/").unwrap().split('/').next().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a file names in `crate::…` paths, outside its tests.
fn uses(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = BTreeSet::new();
    let mut add = |name: &str| {
        let name: String =
            name.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !name.is_empty() {
            found.insert(name);
        }
    };
    for (at, _) in text.match_indices("crate::") {
        if text[..at].ends_with("pub(in ") {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            add(rest);
            continue;
        };
        let mut depth = 0;
        let mut start = 0;
        for (index, char) in group.char_indices() {
            match char {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    add(&group[start..index]);
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    add(&group[start..index]);
                    start = index + 1;
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for path in sources("src") {
        let module = module(&path);
        let allowed = MAY_USE.iter().find(|(name, _)| *name == module);
        let Some((_, allowed)) = allowed else {
            wrong.push(format!("{module} is not in the table"));
            continue;
        };
        let test_only = relative(&path).contains("tests");
        if *allowed == ANY || test_only {
            continue;
        }
        for used in uses(&fs::read_to_string(&path).unwrap()) {
            let foundation = FOUNDATION.contains(&&*used) && !FOUNDATION.contains(&&*module);
            if used != module && !foundation && !allowed.contains(&&*used) {
                wrong.push(format!("{} uses {used}", relative(&path)));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_reader_of_edges_sees_groups_and_single_paths() {
    let text = "use crate::{a::{B, c}, d, e::F};\nuse crate::g::H; let x = crate::i::j();";
    assert_eq!(uses(text).into_iter().collect::<Vec<_>>(), ["a", "d", "e", "g", "i"]);
}

#[test]
fn what_decides_does_not_act() {
    let acts = [
        "Instant::now(",
        "now_us(",
        "SystemTime",
        "tokio::spawn",
        ".spawn(",
        "TcpStream",
        "std::fs",
        ".await",
        "reqwest::",
        "thread::",
    ];
    let mut wrong = Vec::new();
    for path in sources("src") {
        let name = relative(&path);
        if !PURE.iter().any(|pure| name.starts_with(pure)) || name.contains("/tests") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        wrong.extend(
            acts.iter().filter(|act| text.contains(**act)).map(|act| format!("{name}: {act}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_hub_never_awaits() {
    for path in sources("src/hub") {
        assert!(!fs::read_to_string(&path).unwrap().contains(".await"), "{}", relative(&path));
    }
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for path in sources("src").into_iter().chain(sources("tests")).chain(sources("benches")) {
        let (name, text) = (relative(&path), fs::read_to_string(&path).unwrap());
        let lines: Vec<_> = text.lines().collect();
        if lines.len() > FILE_LINES_MAX {
            wrong.push(format!("{name}: {} lines", lines.len()));
        }
        wrong.extend(long_functions(&lines).into_iter().map(|text| format!("{name}: {text}")));
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if BANNED_NAMES.contains(&&*stem) {
            wrong.push(format!("{name}: says nothing about what is in it"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Functions by their indentation, which rustfmt holds.
fn long_functions(lines: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let declares = ["fn ", "async fn ", "const fn "].iter().any(|keyword| {
            code.strip_prefix("pub")
                .map_or(code, |rest| rest.trim_start_matches(|c| c != ' ').trim_start())
                .starts_with(keyword)
        });
        // A method of a trait without a body ends in its first line.
        if !declares || line.ends_with(';') {
            continue;
        }
        let indent = line.len() - code.len();
        let end = format!("{}}}", " ".repeat(indent));
        let length = lines[start..].iter().position(|line| **line == end).map_or(0, |at| at + 1);
        if length > FUNCTION_LINES_MAX {
            found.push(format!("{length} lines from line {}", start + 1));
        }
    }
    found
}

#[test]
fn nothing_names_what_is_outside_the_product() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(|name| root.join(name));
    for path in sources("src").into_iter().chain(sources("tests")).chain(documents) {
        let text = fs::read_to_string(&path).unwrap();
        let outside = ["..", "shared"].join("/");
        assert!(!text.contains(&outside), "{}", path.display());
    }
}
