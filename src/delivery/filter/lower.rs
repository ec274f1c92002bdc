//! From the parser's tree to ours: names resolved, kinds checked, depth bounded. Calls and operators
//! are in [`super::calls`].

use cel::common::ast::{Expr as Ast, IdedExpr, LiteralValue, SelectExpr, SourceInfo};

use super::{
    bounds::DEPTH_MAX,
    expr::{Expr, Node},
    fault::{Place, What},
    operate::Kind,
};
use crate::protocol::code::ErrorBody;

/// The most that is repeated of a name, characters.
const QUOTED_MAX: usize = 64;

/// What the lowering of one text needs to know. It recurses as deep as the parser's tree allows,
/// one level beyond [`DEPTH_MAX`] at most, and runs where the parser did.
#[derive(Debug)]
pub(super) struct Lowering<'t> {
    text: &'t str,
    source: &'t SourceInfo,
}

pub(super) type Lowered<T = Expr> = Result<T, ErrorBody>;

impl<'t> Lowering<'t> {
    pub(super) fn new(text: &'t str, source: &'t SourceInfo) -> Self {
        Self { text, source }
    }

    /// The whole filter.
    ///
    /// # Errors
    /// `bad_filter` and `filter_too_costly`, with the place.
    pub(super) fn filter(&self, ast: &IdedExpr) -> Lowered {
        let expr = self.expr(ast, 1)?;
        self.need_bool(&expr)?;
        Ok(expr)
    }

    pub(super) fn expr(&self, ast: &IdedExpr, depth: usize) -> Lowered {
        let at = self.place(ast);
        if depth > DEPTH_MAX {
            return Err(at.costly(format_args!(
                "nested deeper than {DEPTH_MAX}; a chain of `+` or `==` nests once for each"
            )));
        }
        match &ast.expr {
            Ast::Literal(literal) => literal_of(at, literal),
            Ast::Ident(name) => variable(at, name),
            Ast::Select(select) => self.select(at, select),
            Ast::Call(call) => self.call(ast, call, depth),
            Ast::List(_) => Err(at.bad("a list can only stand at the right of `in`")),
            Ast::Map(_) => Err(at.bad("there are no maps here")),
            Ast::Struct(message) => {
                let name = quoted(&message.type_name);
                Err(at.bad(format_args!("there is no type `{name}`")))
            }
            Ast::Comprehension(_) => Err(at.costly("there are no loops here")),
            Ast::Unspecified => Err(at.bad("this cannot be read")),
        }
    }

    /// Two operands.
    pub(super) fn pair(
        &self,
        left: &IdedExpr,
        right: &IdedExpr,
        depth: usize,
    ) -> Lowered<[Expr; 2]> {
        Ok([self.expr(left, depth + 1)?, self.expr(right, depth + 1)?])
    }

    /// Elements, in order.
    pub(super) fn list<'a>(
        &self,
        args: impl IntoIterator<Item = &'a IdedExpr>,
        depth: usize,
    ) -> Lowered<Vec<Expr>> {
        args.into_iter().map(|arg| self.expr(arg, depth + 1)).collect()
    }

    fn select(&self, at: Place, select: &SelectExpr) -> Lowered {
        let field = quoted(&select.field);
        match &select.operand.expr {
            operand if is_data(operand) => Ok(Expr {
                at: self.place(&select.operand),
                kind: Kind::Any,
                node: Node::Field(select.field.as_str().into()),
            }),
            // What has no such field at all reads better as an unknown name.
            Ast::Ident(name) if !VARIABLES.contains(&name.as_str()) => {
                variable(self.place(&select.operand), name)
            }
            _ => Err(at.bad(format_args!(
                "only `data` has fields, and they have none: `.{field}` leads nowhere"
            ))),
        }
    }

    /// The name of a field, where `ast` is `data.name`.
    pub(super) fn field_of_data<'a>(&self, ast: &'a IdedExpr) -> Option<&'a str> {
        match &ast.expr {
            Ast::Select(select) if is_data(&select.operand.expr) => Some(&select.field),
            _ => None,
        }
    }

    pub(super) fn need_bool(&self, expr: &Expr) -> Lowered<()> {
        if expr.kind.may_be(Kind::Bool) {
            return Ok(());
        }
        Err(expr.at.bad(What::NotBool(expr.kind)))
    }

    /// The place of a node; that of the name, for a call.
    pub(super) fn place(&self, ast: &IdedExpr) -> Place {
        let Some((offset, _)) = self.source.offset_for(ast.id) else {
            return self.start();
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let named = match &ast.expr {
            Ast::Call(call) => self.text.get(..offset).and_then(|before| {
                let name = before.trim_end().strip_suffix(call.func_name.as_str())?;
                Some(name.len())
            }),
            _ => None,
        };
        Place::of(self.text, named.unwrap_or(offset))
    }

    fn start(&self) -> Place {
        Place::of(self.text, 0)
    }
}

const VARIABLES: [&str; 5] = ["topic", "source", "data", "ts", "rx"];

pub(super) fn is_data(ast: &Ast) -> bool {
    matches!(ast, Ast::Ident(name) if name == "data")
}

/// A name as messages repeat it: not at length.
pub(super) fn quoted(name: &str) -> &str {
    let end = name.char_indices().nth(QUOTED_MAX).map(|(at, _)| at);
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

fn variable(at: Place, name: &str) -> Lowered {
    let (kind, node) = match name {
        "topic" => (Kind::Text, Node::Topic),
        "source" => (Kind::Text, Node::Source),
        "ts" => (Kind::Number, Node::Ts),
        "rx" => (Kind::Number, Node::Rx),
        "data" => return Err(at.bad("`data` is no value: name a field, as in `data.price`")),
        _ => {
            let name = quoted(name);
            return Err(at.bad(format_args!(
                "unknown name `{name}`: there are topic, source, ts, rx and the fields of data, \
                 such as data.price"
            )));
        }
    };
    Ok(Expr { at, kind, node })
}

fn literal_of(at: Place, literal: &LiteralValue) -> Lowered {
    let (kind, node) = match literal {
        LiteralValue::Null => (Kind::Null, Node::Null),
        LiteralValue::Boolean(value) => (Kind::Bool, Node::Bool(*value.inner())),
        LiteralValue::Int(value) => (Kind::Number, Node::Int(*value.inner())),
        LiteralValue::UInt(value) => match i64::try_from(*value.inner()) {
            Ok(value) => (Kind::Number, Node::Int(value)),
            Err(_) => return Err(at.bad(What::Overflow)),
        },
        LiteralValue::Double(value) if value.inner().is_finite() => {
            (Kind::Number, Node::Double(*value.inner()))
        }
        LiteralValue::Double(_) => return Err(at.bad(What::Overflow)),
        LiteralValue::String(value) => (Kind::Text, Node::Literal(value.inner().into())),
        LiteralValue::Bytes(_) => return Err(at.bad("there are no bytes here, only texts")),
    };
    Ok(Expr { at, kind, node })
}
