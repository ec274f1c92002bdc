//! Values, and what the operators make of them.

use std::{borrow::Cow, cmp::Ordering, fmt};

use super::fault::What;

/// The longest text that `+` makes, bytes.
const TEXT_MAX: usize = 1024;

/// One value while an expression is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Always finite.
    Double(f64),
    /// A decimal field: its digits, and the number they are.
    Decimal(&'a str, f64),
    Text(Cow<'a, str>),
}

/// What a value is, as far as the operators are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    /// Known only when evaluated: a field.
    Any,
}

/// An operator of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// An operator of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// What two numbers have in common.
enum Pair {
    Int(i64, i64),
    Double(f64, f64),
}

impl Kind {
    /// Whether a value of this kind may turn out to be an `other`.
    pub(super) fn may_be(self, other: Self) -> bool {
        self == other || self == Self::Any
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "a text",
            Self::Any => "a field",
        })
    }
}

impl<'a> Value<'a> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) | Self::Double(_) | Self::Decimal(..) => Kind::Number,
            Self::Text(_) => Kind::Text,
        }
    }

    /// The text that this is; a decimal's digits are one too.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Decimal(digits, _) => Some(digits),
            _ => None,
        }
    }

    /// The number that this is.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) | Self::Decimal(_, number) => Some(*number),
            _ => None,
        }
    }

    /// A finite number, else an overflow.
    pub(super) fn finite(number: f64) -> Result<Self, What> {
        if number.is_finite() { Ok(Self::Double(number)) } else { Err(What::Overflow) }
    }

    /// `==`: numbers by value, texts by characters, a decimal field by either; what differs in kind
    /// is not equal.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(left), Self::Bool(right)) => left == right,
            (Self::Text(left), right) | (right, Self::Text(left)) => {
                right.text().is_some_and(|right| left == right)
            }
            _ => pair(self, other).is_some_and(|pair| pair.order() == Some(Ordering::Equal)),
        }
    }

    /// The order of two numbers or two texts.
    fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(left), Self::Text(right)) => Some(left.cmp(right)),
            _ => pair(self, other)?.order(),
        }
    }

    fn join(&self, other: &Self) -> Option<Result<Self, What>> {
        let (Self::Text(left), Self::Text(right)) = (self, other) else {
            return None;
        };
        if left.len() + right.len() > TEXT_MAX {
            return Some(Err(What::TooLong));
        }
        let mut joined = String::with_capacity(left.len() + right.len());
        joined.push_str(left);
        joined.push_str(right);
        Some(Ok(Self::Text(Cow::Owned(joined))))
    }

    /// Towards zero, as CEL's `int`.
    pub(super) fn to_int(&self) -> Result<Self, What> {
        /// 2⁶³, which an `i64` just does not reach.
        const END: f64 = 9_223_372_036_854_775_808.0;
        match (self, self.number()) {
            (Self::Int(number), _) => Ok(Self::Int(*number)),
            (_, Some(number)) if number > -END && number < END =>
            {
                #[allow(clippy::cast_possible_truncation, reason = "within the range of i64")]
                Ok(Self::Int(number as i64))
            }
            (_, Some(_)) => Err(What::Overflow),
            _ => Err(What::Operand("int", self.kind())),
        }
    }

    pub(super) fn negated(&self) -> Result<Self, What> {
        match self {
            Self::Int(number) => number.checked_neg().map(Self::Int).ok_or(What::Overflow),
            _ => match self.number() {
                Some(number) => Ok(Self::Double(-number)),
                None => Err(What::Operand("-", self.kind())),
            },
        }
    }

    pub(super) fn magnitude(&self) -> Result<Self, What> {
        match self {
            Self::Int(number) => number.checked_abs().map(Self::Int).ok_or(What::Overflow),
            _ => match self.number() {
                Some(number) => Ok(Self::Double(number.abs())),
                None => Err(What::Operand("math.abs", self.kind())),
            },
        }
    }
}

impl Order {
    /// The operator as it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }

    pub(super) fn apply(self, left: &Value<'_>, right: &Value<'_>) -> Result<bool, What> {
        let Some(order) = left.order(right) else {
            return Err(What::Operands(self.symbol(), left.kind(), right.kind()));
        };
        Ok(match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        })
    }
}

impl Arithmetic {
    /// The operator as it is written.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }

    pub(super) fn apply<'a>(self, left: &Value<'a>, right: &Value<'a>) -> Result<Value<'a>, What> {
        if self == Self::Add
            && let Some(joined) = left.join(right)
        {
            return joined;
        }
        match pair(left, right) {
            Some(Pair::Int(left, right)) => self.int(left, right),
            Some(Pair::Double(left, right)) if self != Self::Remainder => self.double(left, right),
            _ => Err(What::Operands(self.symbol(), left.kind(), right.kind())),
        }
    }

    fn int<'a>(self, left: i64, right: i64) -> Result<Value<'a>, What> {
        let result = match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide | Self::Remainder if right == 0 => return Err(What::DivisionByZero),
            Self::Divide => left.checked_div(right),
            Self::Remainder => left.checked_rem(right),
        };
        result.map(Value::Int).ok_or(What::Overflow)
    }

    /// CEL lets a quotient by 0.0 be infinite. Here it is an error like any other division by zero,
    /// which tells the client more than a filter that is always true.
    fn double<'a>(self, left: f64, right: f64) -> Result<Value<'a>, What> {
        Value::finite(match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide | Self::Remainder if right == 0.0 => return Err(What::DivisionByZero),
            Self::Divide => left / right,
            Self::Remainder => left % right,
        })
    }
}

impl Pair {
    fn order(&self) -> Option<Ordering> {
        match self {
            Self::Int(left, right) => Some(left.cmp(right)),
            Self::Double(left, right) => left.partial_cmp(right),
        }
    }
}

/// Two numbers as integers where both are, else as doubles.
fn pair(left: &Value<'_>, right: &Value<'_>) -> Option<Pair> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(Pair::Int(*left, *right)),
        _ => Some(Pair::Double(left.number()?, right.number()?)),
    }
}
