//! What is refused before a parser sees it. The parser of the `cel` crate recurses through a dozen
//! rules for each bracket, about 200 KiB of stack in a debug build, so brackets are counted first.
//! Everything else that can repeat in 1,024 bytes (operators, selections, signs, conditionals)
//! needs less than 1 MiB there, far below what [`super::compile`] provides.

use std::{iter::Peekable, str::CharIndices};

use super::fault::Place;
use crate::protocol::code::{ErrorBody, ErrorCode};

/// The longest filter, bytes.
const BYTES_MAX: usize = 1024;
/// The deepest nesting, of brackets in the text and of the expression read from it.
pub(super) const DEPTH_MAX: usize = 32;

type Chars<'a> = Peekable<CharIndices<'a>>;

/// Checks length and nesting.
///
/// # Errors
/// `filter_too_costly` beyond a bound, `bad_filter` where there is no text.
pub(super) fn check(text: &str) -> Result<(), ErrorBody> {
    if text.len() > BYTES_MAX {
        let message = format!("a filter has at most {BYTES_MAX} bytes, not {}", text.len());
        return Err(ErrorBody::new(ErrorCode::FilterTooCostly, message));
    }
    if text.trim().is_empty() {
        return Err(Place::of(text, 0).bad("the filter is empty"));
    }
    let mut depth = 0_usize;
    let mut chars = text.char_indices().peekable();
    // The last two characters tell whether a quote opens a raw string.
    let mut before = [' '; 2];
    while let Some((at, char)) = chars.next() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '"' | '\'' => skip_string(&mut chars, char, is_raw(before)),
            '/' if chars.next_if(|(_, next)| *next == '/').is_some() => {
                while chars.next_if(|(_, next)| *next != '\n').is_some() {}
            }
            _ => {}
        }
        if depth > DEPTH_MAX {
            let message = format!("brackets are nested deeper than {DEPTH_MAX}");
            return Err(Place::of(text, at).costly(message));
        }
        before = [before[1], char];
    }
    Ok(())
}

/// Whether a quote after these two characters opens a raw string: `r"`, `br"` or `rb"`.
fn is_raw(before: [char; 2]) -> bool {
    matches!(before.map(|char| char.to_ascii_lowercase()), ['r', 'b'] | [_, 'r'])
}

/// Skips the rest of a string that `quote` has opened. An unfinished string ends nowhere: the
/// parser will refuse it, whatever follows.
///
/// Where this and the parser should ever disagree about the end of a string, brackets may be
/// counted or missed wrongly; the parser's own limit and the size of its stack hold then.
fn skip_string(chars: &mut Chars<'_>, quote: char, raw: bool) {
    let next_quote = |chars: &mut Chars<'_>| chars.next_if(|(_, char)| *char == quote).is_some();
    let mut needed = 1;
    if next_quote(chars) {
        if !next_quote(chars) {
            return;
        }
        needed = 3;
    }
    let mut seen = 0;
    while let Some((_, char)) = chars.next() {
        seen = if char == quote { seen + 1 } else { 0 };
        if seen == needed {
            return;
        }
        if char == '\\' && !raw {
            chars.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth_is_fine(text: &str) -> bool {
        check(text).is_ok()
    }

    #[test]
    fn brackets_count_outside_strings_and_comments() {
        let open = "([{".repeat(11);
        assert!(!depth_is_fine(&open));
        assert!(depth_is_fine(&"(".repeat(DEPTH_MAX)));
        assert!(!depth_is_fine(&"(".repeat(DEPTH_MAX + 1)));
        assert!(depth_is_fine(&"()".repeat(400)));
        for (before, after) in [
            ("'", "'"),
            ("\"", "\""),
            ("'''", "'''"),
            ("\"\"\"'\" ", "\"\"\""),
            ("'\\'", "'"),
            ("'\\\\\\'", "'"),
            ("r'\\", "'"),
            ("a // ", "\n"),
        ] {
            assert!(depth_is_fine(&format!("{before}{open}{after}")), "{before}");
            assert!(!depth_is_fine(&format!("{before}{after}{open}")), "{before}");
        }
        for before in ["''", "r'\\'", "R\"\\\"", "'\\\\'", "\"\"\"a\"\"\"", "'a' / "] {
            assert!(!depth_is_fine(&format!("{before}{open}")), "{before}");
        }
    }

    #[test]
    fn length_counts_bytes() {
        assert!(depth_is_fine(&"é".repeat(BYTES_MAX / 2)));
        let error = check(&"é".repeat(BYTES_MAX / 2 + 1)).unwrap_err();
        assert_eq!(error.code, ErrorCode::FilterTooCostly);
    }
}
