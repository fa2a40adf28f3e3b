//! Which row groups of a table a condition cannot be true in: by what folders say, and by the least and
//! greatest values that files note.

use super::input::Input;
use crate::table::Unit;
use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use std::collections::HashSet;

/// The units of a table in which all of some filters may be true for some row.
pub(super) fn units(input: &Input, session: &dyn Session, filters: &[Expr]) -> Result<Vec<Unit>> {
    let Some(table) = input.table() else {
        return Ok(Vec::new());
    };
    let all = table.units();
    let Some(predicate) = predicate(&input.schema, session, filters)? else {
        return Ok(all);
    };
    let mut kept = Vec::with_capacity(all.len());
    for unit in all {
        let may = predicate.prune(&OfUnit { input, unit })?;
        if may.first().copied().unwrap_or(true) {
            kept.push(unit);
        }
    }
    Ok(kept)
}

fn predicate(
    schema: &SchemaRef,
    session: &dyn Session,
    filters: &[Expr],
) -> Result<Option<PruningPredicate>> {
    let Some(condition) = conjunction(filters.iter().cloned()) else {
        return Ok(None);
    };
    let fields = DFSchema::try_from(schema.as_ref().clone())?;
    let physical = session.create_physical_expr(condition, &fields)?;
    let predicate = PruningPredicateBuilder::new()
        .with_file_schema(SchemaRef::clone(schema))
        .try_build(physical)?;
    Ok(Some(predicate).filter(|predicate| !predicate.always_true()))
}

/// What is known of the values of one unit.
struct OfUnit<'a> {
    input: &'a Input,
    unit: Unit,
}

impl OfUnit<'_> {
    fn bound(
        &self,
        column: &Column,
        of: impl Fn(
            &StatisticsConverter,
            &parquet::file::metadata::RowGroupMetaData,
        ) -> Option<ArrayRef>,
    ) -> Option<ArrayRef> {
        let place = self.input.schema.index_of(&column.name).ok()?;
        let file = self.input.table()?.files().get(self.unit.file)?;
        let held = self.input.held(place);
        if file.schema().index_of(held).is_err() {
            return self.input.of_folder(self.unit.file, place);
        }
        let metadata = file.metadata();
        let of_file = metadata.file_metadata().schema_descr();
        let converter = StatisticsConverter::try_new(held, file.schema(), of_file).ok()?;
        let bound = of(&converter, metadata.row_group(self.unit.group))?;
        self.input.bound(self.unit, place, &bound)
    }
}

impl PruningStatistics for OfUnit<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |of, group| of.row_group_mins([group]).ok())
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, |of, group| of.row_group_maxes([group]).ok())
    }

    fn num_containers(&self) -> usize {
        1
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        None
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
