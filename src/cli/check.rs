//! `tickwire check`: says whether a configuration is good, and what it would ask.

use std::io::{self, ErrorKind, Write};

use super::{ConfigArgs, Exit, address};
use crate::{
    config::{Config, ConfigErrors, DEFAULT_NAME},
    upstream::config::FeedConfig,
};

/// Checks the configuration that is meant; a report goes to `out`, errors to `err`.
pub fn run(args: &ConfigArgs, out: &mut impl Write, err: &mut impl Write) -> Exit {
    let file =
        args.path().map_or_else(|| DEFAULT_NAME.to_owned(), |path| path.display().to_string());
    tell(args.load(), &file, out, err)
}

fn tell(
    loaded: Result<Config, ConfigErrors>,
    file: &str,
    out: &mut impl Write,
    err: &mut impl Write,
) -> Exit {
    let (written, exit) = match loaded {
        Ok(config) => (report(&config, file, out), Exit::Fine),
        Err(errors) => (writeln!(err, "{errors}"), Exit::BadConfig),
    };
    match written {
        Ok(()) => exit,
        // A reader such as `head` that has seen enough is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit,
        Err(_) if exit == Exit::Fine => Exit::Failed,
        Err(_) => exit,
    }
}

/// One line, then a table of the feeds.
fn report(config: &Config, file: &str, out: &mut impl Write) -> io::Result<()> {
    let count = config.feeds.len();
    let feeds = if count == 1 { "feed" } else { "feeds" };
    writeln!(out, "configuration ok: {count} {feeds} from {file}")?;
    if count > 0 {
        writeln!(out)?;
        table(&config.feeds, out)?;
    }
    out.flush()
}

fn table(feeds: &[FeedConfig], out: &mut impl Write) -> io::Result<()> {
    let mut rows =
        vec![["FEED", "PROVIDER", "ENDPOINT", "SYMBOLS", "EVERY", "FROM"].map(str::to_owned)];
    rows.extend(feeds.iter().map(row));
    columns(rows, out)
}

/// Writes rows whose cells stand below each other.
pub(super) fn columns<const N: usize>(
    rows: Vec<[String; N]>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn row(feed: &FeedConfig) -> [String; 6] {
    let dash = || "-".to_owned();
    let symbols = match feed.symbols.len() {
        0 => dash(),
        count => count.to_string(),
    };
    // A feed that asks nobody is paced by its rate.
    let (every, from) = match (address::polled(feed), address::streamed(feed)) {
        (Some(url), None) => (feed.every.to_string(), url),
        // The pace of a stream is the venue's.
        (Some(url), Some(stream)) => (dash(), format!("{stream}, else each {} {url}", feed.every)),
        (None, _) => (format!("{}/s", feed.rate), dash()),
    };
    [
        feed.name.clone(),
        feed.provider.to_string(),
        feed.endpoint.clone().unwrap_or_else(dash),
        symbols,
        every,
        from,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(loaded: Result<Config, ConfigErrors>) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = tell(loaded, "a.toml", &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(out), text(err))
    }

    #[test]
    fn a_good_configuration_shows_its_feeds() {
        let (exit, out, err) = check(Config::embedded());
        assert_eq!((exit, err.as_str()), (Exit::Fine, ""));
        let count = Config::embedded().unwrap().feeds.len();
        let first = format!("configuration ok: {count} feeds from a.toml\n");
        assert!(out.starts_with(&first), "{out}");
        assert!(out.contains("sandbox:/binance"), "{out}");
        assert!(out.contains("sandbox:/kraken/v2, else each 2s sandbox:/kraken"), "{out}");
    }

    #[test]
    fn a_bad_one_is_told_on_the_error_stream_and_exits_with_78() {
        let env = [("TICKWIRE_SERVER__LISTENN".to_owned(), "x".to_owned())];
        let (exit, out, err) = check(Config::load(None, env.into_iter()));
        assert_eq!((exit.code(), out.as_str()), (78, ""));
        assert!(err.contains("TICKWIRE_SERVER__LISTENN"), "{err}");
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        struct Closed(ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, exit) in
            [(ErrorKind::BrokenPipe, Exit::Fine), (ErrorKind::StorageFull, Exit::Failed)]
        {
            let told = tell(Config::embedded(), "a.toml", &mut Closed(kind), &mut Vec::new());
            assert_eq!(told, exit);
        }
    }
}
