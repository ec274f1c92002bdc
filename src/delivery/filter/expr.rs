//! A checked expression, and its evaluation: without loops, and no deeper than
//! [`super::bounds::DEPTH_MAX`].

use std::borrow::Cow;

use super::{
    Verdict,
    fault::{Fault, Place, What},
    memo::Scope,
    operate::{Arithmetic, Kind, Order, Value},
};

/// One part of a filter.
#[derive(Debug)]
pub(super) struct Expr {
    /// Where it stands: an operator's own place.
    pub(super) at: Place,
    /// What it will be, as far as that is known before it is evaluated.
    pub(super) kind: Kind,
    pub(super) node: Node,
}

#[derive(Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Literal(Box<str>),
    Topic,
    Source,
    Ts,
    Rx,
    Field(Box<str>),
    FieldNamed(Box<Expr>),
    Has(Box<str>),
    HasNamed(Box<Expr>),
    Not(Box<Expr>),
    And(Box<[Expr; 2]>),
    Or(Box<[Expr; 2]>),
    If(Box<[Expr; 3]>),
    Equal(Box<[Expr; 2]>),
    Unequal(Box<[Expr; 2]>),
    Order(Order, Box<[Expr; 2]>),
    In(Box<Expr>, Box<[Expr]>),
    Negate(Box<Expr>),
    Arithmetic(Arithmetic, Box<[Expr; 2]>),
    Match(Match, Box<[Expr; 2]>),
    Size(Box<Expr>),
    Int64(Box<Expr>),
    Float64(Box<Expr>),
    Magnitude(Box<Expr>),
    Extreme(Extreme, Box<[Expr]>),
}

/// A test of one text by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Start,
    End,
    Within,
}

/// The least or the greatest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extreme {
    Least,
    Greatest,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy)]
enum Stop {
    /// A field is not there.
    Missing,
    Fault(Fault),
}

type Evaluated<'a> = Result<Value<'a>, Stop>;

impl Expr {
    /// What the whole expression makes of an update.
    pub(super) fn judge(&self, scope: &Scope<'_>) -> Verdict {
        match self.truth(scope) {
            Ok(true) => Verdict::True,
            Ok(false) | Err(Stop::Missing) => Verdict::False,
            Err(Stop::Fault(fault)) => Verdict::Error(fault),
        }
    }

    fn fails(&self, what: What) -> Stop {
        Stop::Fault(Fault { at: self.at, what })
    }

    fn truth(&self, scope: &Scope<'_>) -> Result<bool, Stop> {
        match self.evaluate(scope)? {
            Value::Bool(value) => Ok(value),
            other => Err(self.fails(What::NotBool(other.kind()))),
        }
    }

    fn evaluate<'a>(&'a self, scope: &'a Scope<'_>) -> Evaluated<'a> {
        match &self.node {
            Node::Null => Ok(Value::Null),
            Node::Bool(value) => Ok(Value::Bool(*value)),
            Node::Int(value) => Ok(Value::Int(*value)),
            Node::Double(value) => Ok(Value::Double(*value)),
            Node::Literal(text) => Ok(text_of(text)),
            Node::Topic => Ok(text_of(scope.update.topic.as_str())),
            Node::Source => Ok(text_of(&scope.update.source)),
            Node::Ts => scope.update.ts.map(Value::Int).ok_or(Stop::Missing),
            Node::Rx => Ok(Value::Int(scope.update.rx)),
            Node::Field(name) => scope.fields().get(name).ok_or(Stop::Missing),
            Node::FieldNamed(name) => self.field_named(name, scope),
            Node::Has(name) => Ok(Value::Bool(scope.fields().get(name).is_some())),
            Node::HasNamed(name) => match self.field_named(name, scope) {
                Err(Stop::Missing) => Ok(Value::Bool(false)),
                found => found.map(|_| Value::Bool(true)),
            },
            _ => self.operation(scope),
        }
    }

    /// The nodes with operands; apart from the leaves to keep both frames small.
    fn operation<'a>(&'a self, scope: &'a Scope<'_>) -> Evaluated<'a> {
        match &self.node {
            Node::Not(inner) => inner.truth(scope).map(|truth| Value::Bool(!truth)),
            Node::And(pair) => self.logic(pair, false, scope),
            Node::Or(pair) => self.logic(pair, true, scope),
            Node::If(parts) => {
                let [condition, yes, no] = parts.as_ref();
                let chosen = if condition.truth(scope)? { yes } else { no };
                chosen.evaluate(scope)
            }
            Node::Equal(pair) => equal(pair, scope).map(Value::Bool),
            Node::Unequal(pair) => equal(pair, scope).map(|equal| Value::Bool(!equal)),
            Node::Order(order, pair) => {
                let [left, right] = both(pair, scope)?;
                let truth = order.apply(&left, &right).map(Value::Bool);
                truth.map_err(|what| self.fails(what))
            }
            Node::In(needle, list) => within(needle, list, scope).map(Value::Bool),
            Node::Arithmetic(operator, pair) => {
                let [left, right] = both(pair, scope)?;
                let result = operator.apply(&left, &right);
                result.map_err(|what| self.fails(what))
            }
            Node::Match(how, pair) => self.matches(*how, pair, scope),
            Node::Negate(inner) => self.with(inner, scope, Value::negated),
            Node::Magnitude(inner) => self.with(inner, scope, Value::magnitude),
            Node::Int64(inner) => self.with(inner, scope, Value::to_int),
            Node::Float64(inner) => self.with(inner, scope, double),
            Node::Size(inner) => self.with(inner, scope, size),
            Node::Extreme(extreme, list) => self.extreme(*extreme, list, scope),
            // A leaf, which `evaluate` has answered.
            _ => Err(Stop::Missing),
        }
    }

    /// One operand, and what is made of it.
    fn with<'a>(
        &self,
        inner: &'a Expr,
        scope: &'a Scope<'_>,
        make: impl FnOnce(&Value<'a>) -> Result<Value<'a>, What>,
    ) -> Evaluated<'a> {
        make(&inner.evaluate(scope)?).map_err(|what| self.fails(what))
    }

    fn field_named<'a>(&self, name: &'a Expr, scope: &'a Scope<'_>) -> Evaluated<'a> {
        let name = name.evaluate(scope)?;
        match name.text() {
            Some(name) => scope.fields().get(name).ok_or(Stop::Missing),
            None => Err(self.fails(What::Operand("data[…]", name.kind()))),
        }
    }

    /// `&&` (decided by false) and `||` (decided by true): one operand that decides is enough,
    /// whatever the other would be.
    fn logic<'a>(
        &self,
        [left, right]: &[Expr; 2],
        decides: bool,
        scope: &Scope<'_>,
    ) -> Evaluated<'a> {
        let left = left.truth(scope);
        if matches!(left, Ok(left) if left == decides) {
            return Ok(Value::Bool(decides));
        }
        match right.truth(scope) {
            Ok(right) if right == decides => Ok(Value::Bool(decides)),
            right => left.and(right).map(Value::Bool),
        }
    }

    fn matches<'a>(&self, how: Match, pair: &[Expr; 2], scope: &Scope<'_>) -> Evaluated<'a> {
        let [left, right] = both(pair, scope)?;
        let (Some(text), Some(part)) = (left.text(), right.text()) else {
            let what = What::Operands(how.name(), left.kind(), right.kind());
            return Err(self.fails(what));
        };
        Ok(Value::Bool(match how {
            Match::Start => text.starts_with(part),
            Match::End => text.ends_with(part),
            Match::Within => text.contains(part),
        }))
    }

    fn extreme<'a>(&self, which: Extreme, list: &'a [Expr], scope: &'a Scope<'_>) -> Evaluated<'a> {
        let better = match which {
            Extreme::Least => Order::Less,
            Extreme::Greatest => Order::Greater,
        };
        let mut best: Option<Value<'a>> = None;
        for expr in list {
            let value = expr.evaluate(scope)?;
            if value.number().is_none() {
                return Err(self.fails(What::Operand(which.name(), value.kind())));
            }
            let wins = match &best {
                None => true,
                Some(best) => better.apply(&value, best).map_err(|what| self.fails(what))?,
            };
            if wins {
                best = Some(value);
            }
        }
        best.ok_or(Stop::Missing)
    }
}

impl Match {
    /// The function's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "startsWith",
            Self::End => "endsWith",
            Self::Within => "contains",
        }
    }
}

impl Extreme {
    /// The function's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Least => "math.least",
            Self::Greatest => "math.greatest",
        }
    }
}

fn text_of(text: &str) -> Value<'_> {
    Value::Text(Cow::Borrowed(text))
}

fn both<'a>([left, right]: &'a [Expr; 2], scope: &'a Scope<'_>) -> Result<[Value<'a>; 2], Stop> {
    Ok([left.evaluate(scope)?, right.evaluate(scope)?])
}

fn equal(pair: &[Expr; 2], scope: &Scope<'_>) -> Result<bool, Stop> {
    let [left, right] = both(pair, scope)?;
    Ok(left.equals(&right))
}

fn within(needle: &Expr, list: &[Expr], scope: &Scope<'_>) -> Result<bool, Stop> {
    let needle = needle.evaluate(scope)?;
    let mut found = false;
    for expr in list {
        // All of them, also behind a match: a list with an element that fails is itself a failure.
        found |= needle.equals(&expr.evaluate(scope)?);
    }
    Ok(found)
}

fn double<'a>(value: &Value<'a>) -> Result<Value<'a>, What> {
    match value.number() {
        Some(number) => Ok(Value::Double(number)),
        None => Err(What::Operand("double", value.kind())),
    }
}

/// In characters, as CEL counts.
fn size<'a>(value: &Value<'a>) -> Result<Value<'a>, What> {
    match value.text() {
        Some(text) => {
            i64::try_from(text.chars().count()).map(Value::Int).map_err(|_| What::Overflow)
        }
        None => Err(What::Operand("size", value.kind())),
    }
}
