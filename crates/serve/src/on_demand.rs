//! Expressions over the features just read and the request's data: all rows as one batch.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use std::sync::{Arc, OnceLock};
use tiderace_expr::Compiled;
use tiderace_plan::model::Service;
use tiderace_types::{DataType, Timestamp, Value, arrays};

/// A service's on-demand features, bound to the columns that they use.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    /// In the order of the answer.
    pub(crate) expressions: Vec<Expression>,
    /// What the batch they read is made of.
    pub(crate) columns: Vec<Input>,
    /// Its schema: worked out for the first.
    schema: OnceLock<Arc<Schema>>,
}

/// One on-demand feature.
#[derive(Debug)]
pub(crate) struct Expression {
    /// Reads [`Expressions::columns`].
    expr: Compiled,
    /// The features that it reads, as places in the answer.
    pub(crate) features: Vec<usize>,
    data_type: DataType,
}

/// Where a column of the batch comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// A feature, by its place in the answer.
    Feature(usize),
    /// A field of request data.
    RequestData(usize),
}

/// A column of the batch: its type, and a value per row.
pub(crate) struct Column<'a> {
    pub(crate) data_type: DataType,
    pub(crate) values: Vec<&'a Value>,
}

impl Expressions {
    /// Binds the expressions of `service`, whose scope is its `features` and then its request data.
    pub(crate) fn new(service: Option<&Service>, features: usize) -> Expressions {
        let Some(service) = service else {
            return Expressions::default();
        };
        let mut used: Vec<usize> = service
            .on_demand
            .iter()
            .flat_map(|feature| feature.expr.columns().iter().copied())
            .collect();
        used.sort_unstable();
        used.dedup();
        let mut places = vec![0; features + service.request.len()];
        for (place, column) in used.iter().enumerate() {
            places[*column] = place;
        }
        let expressions = service.on_demand.iter().map(|feature| Expression {
            expr: feature.expr.remap(&places),
            features: feature
                .expr
                .columns()
                .iter()
                .copied()
                .filter(|column| *column < features)
                .collect(),
            data_type: feature.data_type.clone(),
        });
        Expressions {
            expressions: expressions.collect(),
            columns: used
                .into_iter()
                .map(|column| match column.checked_sub(features) {
                    None => Input::Feature(column),
                    Some(field) => Input::RequestData(field),
                })
                .collect(),
            schema: OnceLock::new(),
        }
    }

    /// Evaluates every expression over all rows: per expression, per row, a value or why not.
    pub(crate) fn evaluate(
        &self,
        columns: Vec<Column<'_>>,
        rows: usize,
        as_of: Timestamp,
    ) -> Result<Vec<Vec<Result<Value, String>>>, arrow::error::ArrowError> {
        let schema = self.schema.get_or_init(|| schema(&columns));
        let batch = batch(schema, columns, rows)?;
        let each = self.expressions.iter();
        Ok(each
            .map(|expression| expression.rows(&batch, as_of))
            .collect())
    }
}

impl Expression {
    /// Tells whether the instant of the answer is in it.
    pub(crate) fn uses_now(&self) -> bool {
        self.expr.uses_now()
    }

    fn rows(&self, batch: &RecordBatch, as_of: Timestamp) -> Vec<Result<Value, String>> {
        let (array, errors) = self.expr.evaluate_each(batch, as_of);
        let mut rows: Vec<Result<Value, String>> = (0..batch.num_rows())
            .map(|row| Ok(arrays::value_at(&array, &self.data_type, row)))
            .collect();
        for error in errors {
            rows[error.row] = Err(error.to_string());
        }
        rows
    }
}

fn schema(columns: &[Column<'_>]) -> Arc<Schema> {
    let fields = columns.iter().enumerate().map(|(place, column)| {
        let name = place.to_string();
        Field::new(name, column.data_type.to_arrow(), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn batch(
    schema: &Arc<Schema>,
    columns: Vec<Column<'_>>,
    rows: usize,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let arrays = columns.into_iter();
    let arrays = arrays.map(|column| arrays::from_values(&column.data_type, &column.values));
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)
}
