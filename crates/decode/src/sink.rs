//! Where the values of a binary record go as they are met.

use crate::build::Builder;
use crate::fault::Fault;
use crate::item::{Item, Tick};
use crate::table::Table;

/// Takes the values of a record, each for its target.
pub trait Sink<'a> {
    /// Takes a value.
    fn put(&mut self, target: usize, item: Item<'a>, tick: Tick) -> Result<(), Fault>;
    /// Takes a null.
    fn null(&mut self, target: usize) -> Result<(), Fault>;
    /// Is told that there is nothing.
    fn absent(&mut self, target: usize) -> Result<(), Fault>;
    /// Is told that what is there can never be of the target's type.
    fn wrong(&mut self, target: usize, found: &str) -> Result<(), Fault>;
}

/// Columns, each of which takes one value a row.
pub struct Row<'t> {
    /// The columns' types.
    pub table: &'t Table,
    /// The columns.
    pub builders: &'t mut [Builder],
}

impl<'a> Sink<'a> for Row<'_> {
    #[inline]
    fn put(&mut self, target: usize, item: Item<'a>, tick: Tick) -> Result<(), Fault> {
        match self.builders[target].put(item, tick) {
            Ok(()) => Ok(()),
            Err(refusal) => {
                let expected = match refusal {
                    crate::build::Refusal::WrongType => self.table.expected(target),
                    _ => self.table.limit(refusal),
                };
                Err(self
                    .table
                    .refused(target, refusal, &expected, &item.describe())
                    .into())
            }
        }
    }

    #[inline]
    fn null(&mut self, target: usize) -> Result<(), Fault> {
        if !self.table.columns[target].nullable {
            return Err(self.table.null(target).into());
        }
        self.builders[target].push_null();
        Ok(())
    }

    fn absent(&mut self, target: usize) -> Result<(), Fault> {
        let column = &self.table.columns[target];
        match (column.default.is_null(), column.nullable) {
            (false, _) => self.builders[target].push_value(&column.default),
            (true, true) => self.builders[target].push_null(),
            (true, false) => return Err(self.table.absent(target).into()),
        }
        Ok(())
    }

    #[cold]
    fn wrong(&mut self, target: usize, found: &str) -> Result<(), Fault> {
        let expected = self.table.expected(target);
        let refusal = crate::build::Refusal::WrongType;
        Err(self.table.refused(target, refusal, &expected, found).into())
    }
}
