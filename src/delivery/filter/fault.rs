//! Where and why a filter is refused, or fails on an update.

use std::fmt;

use super::operate::Kind;
use crate::protocol::code::{ErrorBody, ErrorCode};

/// A place in a filter's text, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u16,
    /// The column.
    pub column: u16,
}

/// Why a filter could not be evaluated on an update. Small and without text of its own, since a
/// filter that fails may fail on every update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    pub(super) at: Place,
    pub(super) what: What,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// The operator does not take these two.
    Operands(&'static str, Kind, Kind),
    /// The operator or function does not take this one.
    Operand(&'static str, Kind),
    /// What should be true or false is not.
    NotBool(Kind),
    /// A number is divided by zero.
    DivisionByZero,
    /// A number is too large for its kind.
    Overflow,
    /// A text is too long.
    TooLong,
}

impl Place {
    /// The place of the byte at `offset` of `text`; of its end, where that lies beyond.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let before = text.char_indices().take_while(|(at, _)| *at < offset);
        let start = Self { line: 1, column: 1 };
        before.fold(start, |place, (_, char)| match char {
            '\n' => Self { line: place.line.saturating_add(1), column: 1 },
            _ => Self { column: place.column.saturating_add(1), ..place },
        })
    }

    /// `bad_filter` here.
    pub(super) fn bad(self, what: impl fmt::Display) -> ErrorBody {
        ErrorBody::new(ErrorCode::BadFilter, format!("{self}: {what}"))
    }

    /// `filter_too_costly` here.
    pub(super) fn costly(self, what: impl fmt::Display) -> ErrorBody {
        ErrorBody::new(ErrorCode::FilterTooCostly, format!("{self}: {what}"))
    }
}

impl Fault {
    /// Where it failed.
    pub fn at(&self) -> Place {
        self.at
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operands(name, left, right) => {
                write!(f, "`{name}` does not take {left} and {right}")
            }
            Self::Operand(name, kind) => write!(f, "`{name}` does not take {kind}"),
            Self::NotBool(kind) => write!(f, "true or false is needed, not {kind}"),
            Self::DivisionByZero => f.write_str("division by zero"),
            Self::Overflow => f.write_str("the number is too large"),
            Self::TooLong => f.write_str("the text is too long"),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let text = "é > 1 &&\n  x\n";
        for (offset, line, column) in [(0, 1, 1), (2, 1, 2), (12, 2, 3), (14, 3, 1), (99, 3, 1)] {
            assert_eq!(Place::of(text, offset), Place { line, column }, "{offset}");
        }
    }
}
