//! Text to a compiled expression: names, types, constants, then a physical tree.

use crate::compiled::Compiled;
use crate::functions::functions;
use crate::{Error, arithmetic, names, syntax, types};
use arrow::datatypes::{DataType as Arrow, Field, Schema, TimeUnit};
use datafusion_common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::simplify::SimplifyContext;
use datafusion_expr::{Cast, Expr, ExprSchemable};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::Expr as Syntax;
use std::sync::Arc;
use tiderace_types::DataType;

/// Whether an expression may ask for the instant it is evaluated at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// No: an event has no now.
    Refused,
    /// Yes: `now()` is the `as_of` given at evaluation.
    Column,
}

/// The column that carries `as_of`; no declared name can be this.
const AS_OF: &str = "now()";

/// Compiles one SQL scalar expression over `columns`.
///
/// # Errors
/// [`Error`] with the place in the text where it is known, and the nearest name.
pub fn compile(sql: &str, columns: &[(String, DataType)], now: Now) -> Result<Compiled, Error> {
    let mut tree = syntax::parse(sql)?;
    let column_names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let places = names::resolve(sql, &mut tree, &column_names, now)?;
    let canonical = canonical(&tree);
    let scope = Scope::new(places.iter().map(|&place| &columns[place]), now)?;
    let logical = scope.logical(tree)?;
    let (logical, data_type) = scope.widened(logical)?;
    let uses_now = logical.column_refs().iter().any(|c| c.name == AS_OF);
    let physical = scope.physical(&logical)?;
    Ok(Compiled::new(
        physical,
        scope.schema,
        uses_now,
        places,
        data_type,
        &canonical,
    ))
}

/// The text of a tree, without parentheses around all of it.
fn canonical(tree: &Syntax) -> String {
    match tree {
        Syntax::Nested(inner) => canonical(inner),
        tree => tree.to_string(),
    }
}

/// The columns that one expression sees: the ones it names, then `as_of`.
struct Scope {
    schema: Arc<Schema>,
    fields: Arc<DFSchema>,
}

impl Scope {
    fn new<'a>(
        columns: impl Iterator<Item = &'a (String, DataType)>,
        now: Now,
    ) -> Result<Scope, Error> {
        let mut fields: Vec<Field> = columns
            .map(|(name, data_type)| Field::new(name, data_type.to_arrow(), true))
            .collect();
        if now == Now::Column {
            fields.push(Field::new(AS_OF, DataType::Timestamp.to_arrow(), false));
        }
        let schema = Arc::new(Schema::new(fields));
        let fields = DFSchema::try_from(Arc::clone(&schema)).map_err(|e| whole(&e))?;
        Ok(Scope {
            schema,
            fields: Arc::new(fields),
        })
    }

    /// Plans, coerces and simplifies.
    fn logical(&self, tree: Syntax) -> Result<Expr, Error> {
        let options = ParserOptions {
            map_string_types_to_utf8view: false,
            ..ParserOptions::new()
        };
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&self.fields))
            .with_config_options(Arc::clone(functions().options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        SqlToRel::new_with_options(functions(), options)
            .sql_to_expr(tree, &self.fields, &mut PlannerContext::new())
            .and_then(now_as_column)
            .and_then(|expr| simplifier.coerce(expr, &self.fields))
            .and_then(|expr| simplifier.simplify(expr))
            .map_err(|e| whole(&e))
    }

    /// Casts the result to the type that leaves.
    fn widened(&self, expr: Expr) -> Result<(Expr, DataType), Error> {
        let arrow = expr.get_type(self.fields.as_ref()).map_err(|e| whole(&e))?;
        if arrow == Arrow::Null {
            return Err(Error::whole("the expression is always null")
                .help("give the null a type: `CAST(NULL AS DOUBLE)`"));
        }
        let data_type = types::widened(&arrow).ok_or_else(|| {
            Error::whole(format!(
                "the expression gives {arrow}, which no feature can be"
            ))
            .help("cast it: `CAST(… AS DOUBLE)`")
        })?;
        let cast = types::steps(&arrow, &data_type)
            .into_iter()
            .fold(expr, |inner, step| {
                Expr::Cast(Cast::new(Box::new(inner), step))
            });
        Ok((cast, data_type))
    }

    fn physical(&self, expr: &Expr) -> Result<Arc<dyn PhysicalExpr>, Error> {
        let props = ExecutionProps::new();
        let context = PhysicalPlanningContext::default();
        create_physical_expr(expr, &self.fields, &props, &context)
            .and_then(|tree| arithmetic::checked(tree, &self.schema))
            .map_err(|e| whole(&e))
    }
}

/// Replaces the functions that ask for now by the column that carries it.
fn now_as_column(expr: Expr) -> Result<Expr, DataFusionError> {
    let as_of = || Expr::Column(datafusion_common::Column::new_unqualified(AS_OF));
    expr.transform_up(|node| {
        Ok(match &node {
            Expr::ScalarFunction(call) if call.name() == "now" => Transformed::yes(as_of()),
            Expr::ScalarFunction(call) if call.name() == "current_date" => {
                let date = Cast::new(Box::new(as_of()), Arrow::Date32);
                Transformed::yes(Expr::Cast(date))
            }
            _ => Transformed::no(node),
        })
    })
    .data()
}

/// The type of `as_of`, here so that the column and the value agree.
pub(crate) const AS_OF_TYPE: Arrow = Arrow::Timestamp(TimeUnit::Microsecond, None);

fn whole(error: &DataFusionError) -> Error {
    Error::whole(plain_message(error))
}

/// DataFusion's message without its prefixes, notes and advice to report bugs.
pub(crate) fn plain_message(error: &DataFusionError) -> String {
    let root = error.find_root();
    let text = match root {
        DataFusionError::Diagnostic(_, inner) => return plain_message(inner),
        DataFusionError::ArrowError(inner, _) => inner.to_string(),
        other => other.message().into_owned(),
    };
    let first = text.split("\n\nbacktrace:").next().unwrap_or(&text);
    let first = first.split(". No function matches").next().unwrap_or(first);
    let first = first.lines().next().unwrap_or(first);
    own_types(&syntax::lower_first(first.trim().trim_end_matches('.')))
}

/// A message with types named as they are in definition files.
fn own_types(message: &str) -> String {
    const NAMES: [(&str, &str); 8] = [
        ("Timestamp(µs)", "timestamp"),
        ("Duration(µs)", "duration"),
        ("Decimal128", "decimal"),
        ("Boolean", "bool"),
        ("Float64", "float64"),
        ("Int64", "int64"),
        ("Binary", "bytes"),
        ("Utf8", "string"),
    ];
    NAMES.iter().fold(message.to_owned(), |text, (arrow, own)| {
        text.replace(arrow, own)
    })
}
