//! A compiled expression: what it needs, what it gives, and its answers.

use crate::compile::{AS_OF_TYPE, plain_message};
use crate::{Error, EvalError, types};
use arrow::array::{Array, ArrayRef, TimestampMicrosecondArray, new_null_array};
use arrow::compute::{can_cast_types, concat};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{CastExpr, Column};
use std::sync::Arc;
use tiderace_types::{DataType, Timestamp};

/// An expression, ready to be evaluated. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Compiled {
    tree: Tree,
    /// The columns that the tree sees, and `as_of` where it may ask for now.
    schema: SchemaRef,
    uses_now: bool,
    /// Where in a batch the tree's columns are.
    places: Vec<usize>,
    /// `places`, ascending.
    columns: Vec<usize>,
    data_type: DataType,
    canonical: Arc<str>,
}

/// How the answer is found.
#[derive(Clone, Debug)]
enum Tree {
    /// It is a column as it stands.
    Column,
    /// It is computed.
    Physical(Arc<dyn PhysicalExpr>),
}

impl Compiled {
    pub(crate) fn new(
        tree: Arc<dyn PhysicalExpr>,
        schema: SchemaRef,
        uses_now: bool,
        places: Vec<usize>,
        data_type: DataType,
        canonical: &str,
    ) -> Compiled {
        let plain = tree.downcast_ref::<Column>().is_some() && !uses_now && places.len() == 1;
        Compiled {
            tree: if plain {
                Tree::Column
            } else {
                Tree::Physical(tree)
            },
            schema,
            uses_now,
            columns: ascending(&places),
            places,
            data_type,
            canonical: canonical.into(),
        }
    }

    /// The type of every answer.
    #[must_use]
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The columns it reads, as indices into the batch, ascending.
    #[must_use]
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// A stable text: equal texts over equal columns mean the same.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Tells whether the answer may depend on `as_of`.
    #[must_use]
    pub fn uses_now(&self) -> bool {
        self.uses_now
    }

    /// The same expression cast to another type. A value that does not fit fails its row.
    ///
    /// # Errors
    /// When no value of the type can be cast.
    pub fn cast(&self, to: &DataType) -> Result<Compiled, Error> {
        if self.data_type == *to {
            return Ok(self.clone());
        }
        let (from, target) = (self.data_type.to_arrow(), to.to_arrow());
        if !can_cast_types(&from, &target) {
            return Err(Error::whole(format!(
                "`{}` is {} and cannot be {to}",
                self.canonical, self.data_type
            )));
        }
        let inner = self.physical();
        Ok(Compiled {
            tree: Tree::Physical(Arc::new(CastExpr::new(inner, target, None))),
            data_type: to.clone(),
            canonical: format!("CAST({} AS {to})", self.canonical).into(),
            ..self.clone()
        })
    }

    /// The same expression where column `i` of the old scope is `places[i]`.
    ///
    /// # Panics
    /// When `places` is shorter than the old scope.
    #[must_use]
    pub fn remap(&self, places: &[usize]) -> Compiled {
        let moved: Vec<usize> = self.places.iter().map(|&place| places[place]).collect();
        Compiled {
            columns: ascending(&moved),
            places: moved,
            ..self.clone()
        }
    }

    /// The answers for every row: an array of the batch's length and exactly the expression's type.
    ///
    /// # Errors
    /// [`EvalError`] for the first row that has no answer.
    pub fn evaluate(&self, batch: &RecordBatch, as_of: Timestamp) -> Result<ArrayRef, EvalError> {
        let (answers, mut errors) = self.evaluate_each(batch, as_of);
        if errors.is_empty() {
            Ok(answers)
        } else {
            Err(errors.swap_remove(0))
        }
    }

    /// The answers for every row, null where there is none, and why there is none, by row.
    ///
    /// The batch is tried whole; where that fails it is halved, down to single rows,
    /// so that one bad row never takes another with it.
    #[must_use]
    pub fn evaluate_each(
        &self,
        batch: &RecordBatch,
        as_of: Timestamp,
    ) -> (ArrayRef, Vec<EvalError>) {
        self.evaluate_as_of(batch, AsOf::One(as_of))
    }

    /// As [`Compiled::evaluate_each`], where every row has an instant of its own.
    ///
    /// # Panics
    /// When there are not as many instants as rows.
    #[must_use]
    pub fn evaluate_at(
        &self,
        batch: &RecordBatch,
        as_of: &[Timestamp],
    ) -> (ArrayRef, Vec<EvalError>) {
        assert_eq!(as_of.len(), batch.num_rows(), "an instant for each row");
        self.evaluate_as_of(batch, AsOf::Each(as_of))
    }

    fn evaluate_as_of(&self, batch: &RecordBatch, as_of: AsOf<'_>) -> (ArrayRef, Vec<EvalError>) {
        let mut parts = vec![];
        let mut errors = vec![];
        self.evaluate_range(batch, 0, batch.num_rows(), as_of, &mut parts, &mut errors);
        if parts.len() == 1 {
            return (parts.swap_remove(0), errors);
        }
        let borrowed: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        match concat(&borrowed) {
            Ok(whole) => (whole, errors),
            Err(error) => {
                let all = new_null_array(&self.data_type.to_arrow(), batch.num_rows());
                (all, vec![self.error(0, error.to_string())])
            }
        }
    }

    fn evaluate_range(
        &self,
        batch: &RecordBatch,
        start: usize,
        length: usize,
        as_of: AsOf<'_>,
        parts: &mut Vec<ArrayRef>,
        errors: &mut Vec<EvalError>,
    ) {
        let whole = length == batch.num_rows();
        let attempt = if whole {
            self.attempt(batch, as_of)
        } else {
            self.attempt(&batch.slice(start, length), as_of.slice(start, length))
        };
        match attempt {
            Ok(array) => parts.push(array),
            Err(error) if length <= 1 => {
                parts.push(new_null_array(&self.data_type.to_arrow(), length));
                errors.push(self.error(start, plain_message(&error)));
            }
            Err(_) => {
                let half = length / 2;
                self.evaluate_range(batch, start, half, as_of, parts, errors);
                self.evaluate_range(batch, start + half, length - half, as_of, parts, errors);
            }
        }
    }

    /// All rows at once, or nothing.
    fn attempt(&self, batch: &RecordBatch, as_of: AsOf<'_>) -> Result<ArrayRef, DataFusionError> {
        let rows = batch.num_rows();
        let columns = self
            .places
            .iter()
            .map(|&place| column(batch, place))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = match &self.tree {
            Tree::Column => columns.into_iter().next().ok_or_else(|| missing(0))?,
            Tree::Physical(tree) => {
                let seen = self.seen(columns, rows, as_of)?;
                tree.evaluate(&seen)?.into_array(rows)?
            }
        };
        let expected = self.data_type.to_arrow();
        if *answers.data_type() == expected {
            return Ok(answers);
        }
        let same_kind = types::widened(answers.data_type()).as_ref() == Some(&self.data_type);
        if same_kind && answers.data_type().is_nested() {
            // Nested types differ in the names of their fields only.
            return Ok(arrow::compute::cast(&answers, &expected)?);
        }
        Err(DataFusionError::Execution(format!(
            "gave {} where {expected} was declared",
            answers.data_type()
        )))
    }

    /// The batch as the tree sees it.
    fn seen(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: usize,
        as_of: AsOf<'_>,
    ) -> Result<RecordBatch, ArrowError> {
        if self.schema.fields().len() > columns.len() {
            let times = match as_of {
                AsOf::One(as_of) => TimestampMicrosecondArray::from_value(as_of.0, rows),
                AsOf::Each(each) => each.iter().map(|as_of| Some(as_of.0)).collect(),
            };
            debug_assert_eq!(*times.data_type(), AS_OF_TYPE);
            columns.push(Arc::new(times));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
    }

    fn physical(&self) -> Arc<dyn PhysicalExpr> {
        match &self.tree {
            Tree::Column => Arc::new(Column::new(self.schema.field(0).name(), 0)),
            Tree::Physical(tree) => Arc::clone(tree),
        }
    }

    fn error(&self, row: usize, message: String) -> EvalError {
        EvalError {
            row,
            expression: self.canonical.to_string(),
            message,
        }
    }
}

/// The instants that rows are asked for.
#[derive(Clone, Copy)]
enum AsOf<'a> {
    /// All for one.
    One(Timestamp),
    /// Each for its own.
    Each(&'a [Timestamp]),
}

impl AsOf<'_> {
    fn slice(self, start: usize, length: usize) -> Self {
        match self {
            AsOf::One(as_of) => AsOf::One(as_of),
            AsOf::Each(each) => AsOf::Each(&each[start..start + length]),
        }
    }
}

fn ascending(places: &[usize]) -> Vec<usize> {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

fn column(batch: &RecordBatch, place: usize) -> Result<ArrayRef, DataFusionError> {
    let found = batch.columns().get(place);
    found.cloned().ok_or_else(|| missing(place))
}

fn missing(place: usize) -> DataFusionError {
    DataFusionError::Execution(format!("the batch has no column {place}"))
}
