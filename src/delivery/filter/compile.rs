//! From text to a checked expression.

use std::thread;

use cel::{Env, ParseErrors};

use super::{bounds, expr::Expr, fault::Place, lower::Lowering};
use crate::protocol::code::{ErrorBody, ErrorCode};

/// The parser needs up to 8 MiB for what passes [`bounds::check`], in a debug build; this is address
/// space, of which only what is touched costs memory.
const STACK: usize = 64 << 20;
/// The most that is repeated of what the parser says, characters: it may quote the whole filter.
const QUOTED_MAX: usize = 160;

/// Reads `text`, which has passed [`bounds::check`]. All that recurses through the parser's tree,
/// its destruction too, happens on a thread whose stack is deep enough.
///
/// # Errors
/// `bad_filter` and `filter_too_costly`; `internal` when there is no thread to be had.
pub(super) fn compile(text: &str) -> Result<Expr, ErrorBody> {
    let read = thread::scope(|scope| {
        thread::Builder::new()
            .name("filter-compile".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || read(text))
            .map(|thread| thread.join())
    });
    match read {
        Ok(Ok(read)) => read,
        // A panic of the parser is a text that cannot be read.
        Ok(Err(_)) => Err(Place::of(text, 0).bad("this cannot be read")),
        Err(error) => Err(ErrorBody::new(
            ErrorCode::Internal,
            format!("no thread to read the filter on: {error}"),
        )),
    }
}

fn read(text: &str) -> Result<Expr, ErrorBody> {
    // Without macros: `has` stays the call it is written as, and the loops (`map`, `exists`, …) are
    // never expanded, which is where they would grow.
    let parser = Env::default().with_optional_support(false).parser();
    let (ast, source) =
        parser.parse_with_source_info(text).map_err(|errors| refusal(text, &errors))?;
    Lowering::new(text, &source).filter(&ast)
}

/// The first error that has a place. Later ones are mostly its consequences.
fn refusal(text: &str, errors: &ParseErrors) -> ErrorBody {
    let placed = errors.errors.iter().find(|error| error.pos.0 > 0);
    let Some(error) = placed.or_else(|| errors.errors.first()) else {
        return Place::of(text, 0).bad("this cannot be read");
    };
    let count = |number: isize| u16::try_from(number.max(1)).unwrap_or(u16::MAX);
    let place = Place { line: count(error.pos.0), column: count(error.pos.1) };
    if error.msg.contains("recursion") {
        let limit = bounds::DEPTH_MAX;
        return place.costly(format_args!("nested deeper than {limit}"));
    }
    place.bad(plain(&error.msg))
}

/// The parser's message without the list of all tokens it would have taken, without control
/// characters, and cut where it quotes at length.
fn plain(message: &str) -> String {
    let message = message.strip_prefix("Syntax error: ").unwrap_or(message);
    let message = match message.find(" expecting {") {
        Some(at) => message.get(..at).unwrap_or(message),
        None => message,
    };
    let message = message.replace("'<EOF>'", "the end of the filter");
    let mut plain: String = message.chars().take(QUOTED_MAX).collect();
    if plain.len() < message.len() {
        plain.push('…');
    }
    let control = |char: char| char.is_control();
    if plain.contains(control) {
        plain = plain.replace(control, "\u{fffd}");
    }
    plain
}
