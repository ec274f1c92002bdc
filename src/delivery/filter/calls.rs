//! Operators and functions of a filter: which there are, and what they take.

use cel::common::ast::{CallExpr, Expr as Ast, IdedExpr, operators};

use super::{
    expr::{Expr, Extreme, Match, Node},
    fault::{Place, What},
    lower::{Lowered, Lowering, is_data, quoted},
    operate::{Arithmetic, Kind, Order},
};

/// Functions of CEL and its common extensions that loop, or may take long on a short text.
const COSTLY: [&str; 17] = [
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "matches",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "sortBy",
    "sort",
    "replace",
    "split",
    "join",
    "format",
    "bind",
];

const FUNCTIONS: &str = "there are has(data.field), startsWith, endsWith, contains, size, int, \
                         double, math.abs, math.least and math.greatest";

/// A call as it is dispatched.
struct Call<'a> {
    at: Place,
    depth: usize,
    name: &'a str,
    target: Option<&'a IdedExpr>,
    args: &'a [IdedExpr],
}

impl Lowering<'_> {
    pub(super) fn call(&self, ast: &IdedExpr, call: &CallExpr, depth: usize) -> Lowered {
        let call = Call {
            at: self.place(ast),
            depth,
            name: &call.func_name,
            target: call.target.as_deref(),
            args: &call.args,
        };
        match (call.target, call.args) {
            (None, [operand]) => self.unary(&call, operand),
            (None, [left, right]) => self.binary(&call, left, right),
            (None, [condition, yes, no]) if call.name == operators::CONDITIONAL => {
                let condition = self.expr(condition, depth + 1)?;
                self.need_bool(&condition)?;
                let [yes, no] = self.pair(yes, no, depth)?;
                let kind = if yes.kind == no.kind { yes.kind } else { Kind::Any };
                Ok(call.makes(kind, Node::If(Box::new([condition, yes, no]))))
            }
            (Some(target), args) => self.method(&call, target, args),
            _ => Err(call.unknown()),
        }
    }

    fn unary(&self, call: &Call<'_>, operand: &IdedExpr) -> Lowered {
        if call.name == "has" {
            return match self.field_of_data(operand) {
                Some(name) => Ok(call.makes(Kind::Bool, Node::Has(name.into()))),
                None => Err(call.at.bad("`has` takes a field of data, as in `has(data.bid)`")),
            };
        }
        let (takes, kind, node): (_, _, fn(Box<Expr>) -> Node) = match call.name {
            operators::LOGICAL_NOT => (Kind::Bool, Kind::Bool, Node::Not),
            operators::NEGATE => (Kind::Number, Kind::Number, Node::Negate),
            "int" => (Kind::Number, Kind::Number, Node::Int64),
            "double" => (Kind::Number, Kind::Number, Node::Float64),
            "size" => (Kind::Text, Kind::Number, Node::Size),
            _ => return Err(call.unknown()),
        };
        let operand = self.expr(operand, call.depth + 1)?;
        if takes == Kind::Bool {
            self.need_bool(&operand)?;
        }
        if !operand.kind.may_be(takes) {
            let name = if call.name == operators::NEGATE { "-" } else { call.name };
            let kind = operand.kind;
            return Err(call.at.bad(format_args!("`{name}` does not take {kind}")));
        }
        Ok(call.makes(kind, node(Box::new(operand))))
    }

    fn binary(&self, call: &Call<'_>, left: &IdedExpr, right: &IdedExpr) -> Lowered {
        match call.name {
            operators::IN => return self.within(call, left, right),
            operators::INDEX => return self.index(call, left, right),
            _ => {}
        }
        let node = binary_node(call.name).ok_or_else(|| call.unknown())?;
        let pair = Box::new(self.pair(left, right, call.depth)?);
        let [left, right] = pair.each_ref().map(|expr| expr.kind);
        let both = |kind| left.may_be(kind) && right.may_be(kind);
        let refuse = |symbol| Err(call.at.bad(What::Operands(symbol, left, right)));
        let loose = |kind| matches!(kind, Kind::Any | Kind::Null);
        match node {
            Binary::Logic(node) => {
                for operand in pair.iter() {
                    self.need_bool(operand)?;
                }
                Ok(call.makes(Kind::Bool, node(pair)))
            }
            Binary::Equality(symbol, _) if left != right && !loose(left) && !loose(right) => {
                refuse(symbol)
            }
            Binary::Equality(_, node) => Ok(call.makes(Kind::Bool, node(pair))),
            Binary::Order(order) if both(Kind::Number) || both(Kind::Text) => {
                Ok(call.makes(Kind::Bool, Node::Order(order, pair)))
            }
            Binary::Order(order) => refuse(order.symbol()),
            Binary::Arithmetic(operator) => {
                let text = operator == Arithmetic::Add && both(Kind::Text);
                let kind = match (text, both(Kind::Number)) {
                    (true, true) => Kind::Any,
                    (true, false) => Kind::Text,
                    (false, true) => Kind::Number,
                    (false, false) => return refuse(operator.symbol()),
                };
                Ok(call.makes(kind, Node::Arithmetic(operator, pair)))
            }
        }
    }

    /// `source in ["coinbase", "kraken"]` and `"bid" in data`.
    fn within(&self, call: &Call<'_>, needle: &IdedExpr, list: &IdedExpr) -> Lowered {
        let needle = Box::new(self.expr(needle, call.depth + 1)?);
        let node = match &list.expr {
            Ast::List(list) => {
                let list = self.list(&list.elements, call.depth)?;
                Node::In(needle, list.into())
            }
            data if is_data(data) && needle.kind.may_be(Kind::Text) => Node::HasNamed(needle),
            data if is_data(data) => {
                return Err(call.at.bad("`in data` takes the name of a field, a text"));
            }
            _ => return Err(call.at.bad("`in` needs a list, or `data`, at its right")),
        };
        Ok(call.makes(Kind::Bool, node))
    }

    /// `data["volume_24h"]`.
    fn index(&self, call: &Call<'_>, data: &IdedExpr, name: &IdedExpr) -> Lowered {
        if !is_data(&data.expr) {
            return Err(call.at.bad("only `data` has fields to be looked up"));
        }
        let name = self.expr(name, call.depth + 1)?;
        if !name.kind.may_be(Kind::Text) {
            return Err(call.at.bad("`data[…]` takes the name of a field, a text"));
        }
        let node = match name.node {
            Node::Literal(name) => Node::Field(name),
            _ => Node::FieldNamed(Box::new(name)),
        };
        Ok(call.makes(Kind::Any, node))
    }

    fn method(&self, call: &Call<'_>, target: &IdedExpr, args: &[IdedExpr]) -> Lowered {
        if matches!(&target.expr, Ast::Ident(name) if name == "math") {
            return self.math(call, args);
        }
        let how = match (call.name, args) {
            ("startsWith", _) => Match::Start,
            ("endsWith", _) => Match::End,
            ("contains", _) => Match::Within,
            ("size", []) => return self.unary(call, target),
            _ => return Err(call.unknown()),
        };
        let [part] = args else {
            return Err(call.at.bad(format_args!("`{}` takes one text", how.name())));
        };
        let pair = self.pair(target, part, call.depth)?;
        let [text, part] = pair.each_ref().map(|expr| expr.kind);
        if !text.may_be(Kind::Text) || !part.may_be(Kind::Text) {
            return Err(call.at.bad(What::Operands(how.name(), text, part)));
        }
        Ok(call.makes(Kind::Bool, Node::Match(how, Box::new(pair))))
    }

    /// Those of CEL's `math` extension that fit a number or two.
    fn math(&self, call: &Call<'_>, args: &[IdedExpr]) -> Lowered {
        let extreme = match (call.name, args) {
            ("abs", [_]) => None,
            ("least", [_, ..]) => Some(Extreme::Least),
            ("greatest", [_, ..]) => Some(Extreme::Greatest),
            _ => return Err(call.unknown()),
        };
        let mut numbers = self.list(args, call.depth)?;
        if let Some(other) = numbers.iter().find(|expr| !expr.kind.may_be(Kind::Number)) {
            let (name, kind) = (call.name, other.kind);
            return Err(other.at.bad(format_args!("`math.{name}` does not take {kind}")));
        }
        let node = match (extreme, numbers.pop()) {
            (None, Some(number)) => Node::Magnitude(Box::new(number)),
            (Some(extreme), Some(number)) => {
                numbers.push(number);
                Node::Extreme(extreme, numbers.into())
            }
            (_, None) => return Err(call.unknown()),
        };
        Ok(call.makes(Kind::Number, node))
    }
}

/// What a binary operator is.
enum Binary {
    Logic(fn(Box<[Expr; 2]>) -> Node),
    Equality(&'static str, fn(Box<[Expr; 2]>) -> Node),
    Order(Order),
    Arithmetic(Arithmetic),
}

fn binary_node(name: &str) -> Option<Binary> {
    Some(match name {
        operators::LOGICAL_AND => Binary::Logic(Node::And),
        operators::LOGICAL_OR => Binary::Logic(Node::Or),
        operators::EQUALS => Binary::Equality("==", Node::Equal),
        operators::NOT_EQUALS => Binary::Equality("!=", Node::Unequal),
        operators::LESS => Binary::Order(Order::Less),
        operators::LESS_EQUALS => Binary::Order(Order::AtMost),
        operators::GREATER => Binary::Order(Order::Greater),
        operators::GREATER_EQUALS => Binary::Order(Order::AtLeast),
        operators::ADD => Binary::Arithmetic(Arithmetic::Add),
        operators::SUBSTRACT => Binary::Arithmetic(Arithmetic::Subtract),
        operators::MULTIPLY => Binary::Arithmetic(Arithmetic::Multiply),
        operators::DIVIDE => Binary::Arithmetic(Arithmetic::Divide),
        operators::MODULO => Binary::Arithmetic(Arithmetic::Remainder),
        _ => return None,
    })
}

impl Call<'_> {
    fn makes(&self, kind: Kind, node: Node) -> Expr {
        let at = self.at;
        Expr { at, kind, node }
    }

    fn unknown(&self) -> crate::protocol::code::ErrorBody {
        let name = quoted(self.name);
        if COSTLY.contains(&self.name) {
            return self.at.costly(format_args!("`{name}` is not offered: {FUNCTIONS}"));
        }
        self.at.bad(format_args!("no function `{name}` of this shape: {FUNCTIONS}"))
    }
}
