//! A request's columns matched to what its selection needs, and read row by row.

use crate::prepared::{Field, Prepared};
use crate::{Cells, Column, Error, nearest};
use tiderace_types::{DataType, KeyBytes, Value, encode_key_value};

/// The columns in the order that the selection has them.
pub(crate) struct Columns<'a> {
    /// How many rows every column has.
    pub(crate) rows: usize,
    keys: Vec<&'a Cells>,
    request_data: Vec<&'a Cells>,
}

impl<'a> Columns<'a> {
    /// Finds every needed column, and refuses any that is missing, unknown, doubled or ragged.
    pub(crate) fn match_up(
        prepared: &Prepared,
        entities: &'a [Column],
        request_data: &'a [Column],
    ) -> Result<Self, Error> {
        let keys = Kind::EntityKey.find(prepared, &prepared.keys, entities)?;
        let data = Kind::RequestData.find(prepared, &prepared.request_data, request_data)?;
        let mut columns = entities.iter().chain(request_data);
        let Some(first) = columns.next() else {
            return Err(Error::invalid(format!(
                "{} needs no column, so there is no telling how many rows to answer",
                prepared.what
            )));
        };
        let rows = first.cells.len();
        if rows == 0 {
            return Err(Error::invalid(format!(
                "column {:?} has no values; send one per row",
                first.name
            )));
        }
        for column in columns {
            if column.cells.len() != rows {
                return Err(Error::invalid(format!(
                    "column {:?} has {} values, but {:?} has {rows}; every column needs one per row",
                    column.name,
                    column.cells.len(),
                    first.name,
                )));
            }
        }
        Ok(Columns {
            rows,
            keys,
            request_data: data,
        })
    }

    /// Encodes the entity keys: one per row and entity, row by row.
    pub(crate) fn keys(&self, prepared: &Prepared) -> Result<Vec<KeyBytes>, Error> {
        let mut keys = Vec::with_capacity(self.rows * prepared.entities.len());
        for row in 0..self.rows {
            for entity in &prepared.entities {
                keys.push(self.key(prepared, entity, row)?);
            }
        }
        Ok(keys)
    }

    fn key(&self, prepared: &Prepared, entity: &[usize], row: usize) -> Result<KeyBytes, Error> {
        let mut bytes = Vec::with_capacity(entity.len() * 9);
        for place in entity {
            let field = &prepared.keys[*place];
            let value = Kind::EntityKey.value(field, self.keys[*place], row)?;
            if value.is_null() {
                return Err(Error::invalid(format!(
                    "entity key {:?} row {row}: null is no key; expected {}",
                    field.name, field.data_type
                )));
            }
            encode_key_value(&value, &mut bytes).map_err(|error| {
                Error::invalid(format!("entity key {:?} row {row}: {error}", field.name))
            })?;
        }
        Ok(bytes.into_boxed_slice())
    }

    /// Reads the request data: per field, a value per row.
    pub(crate) fn request_data(&self, prepared: &Prepared) -> Result<Vec<Vec<Value>>, Error> {
        let fields = prepared.request_data.iter().zip(&self.request_data);
        fields
            .map(|(field, cells)| {
                (0..self.rows)
                    .map(|row| Kind::RequestData.value(field, cells, row))
                    .collect()
            })
            .collect()
    }
}

/// Reads a column of an entity key.
///
/// # Errors
/// [`crate::Kind::Invalid`] for a cell that does not fit the key's type.
pub(crate) fn key_values(field: &Field, cells: &Cells) -> Result<Vec<Value>, Error> {
    (0..cells.len())
        .map(|row| Kind::EntityKey.value(field, cells, row))
        .collect()
}

/// The two kinds of columns that a request brings.
#[derive(Clone, Copy)]
enum Kind {
    EntityKey,
    RequestData,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::EntityKey => "entity key",
            Kind::RequestData => "request data",
        }
    }

    fn find<'a>(
        self,
        prepared: &Prepared,
        fields: &[Field],
        columns: &'a [Column],
    ) -> Result<Vec<&'a Cells>, Error> {
        for (place, column) in columns.iter().enumerate() {
            self.known(prepared, fields, &column.name)?;
            if columns[..place]
                .iter()
                .any(|other| other.name == column.name)
            {
                return Err(Error::invalid(format!(
                    "{} {:?} is sent twice; send each column once",
                    self.name(),
                    column.name
                )));
            }
        }
        let find = |field: &Field| {
            let column = columns.iter().find(|column| column.name == field.name);
            column.map(|column| &column.cells).ok_or_else(|| {
                Error::invalid(format!(
                    "{} needs {} {:?}; send a column of {}",
                    prepared.what,
                    self.name(),
                    field.name,
                    field.data_type
                ))
            })
        };
        fields.iter().map(find).collect()
    }

    fn known(self, prepared: &Prepared, fields: &[Field], name: &str) -> Result<(), Error> {
        if fields.iter().any(|field| field.name == name) {
            return Ok(());
        }
        let (others, place) = match self {
            Kind::EntityKey => (&prepared.request_data, "request data"),
            Kind::RequestData => (&prepared.keys, "the entities"),
        };
        let hint = if others.iter().any(|field| field.name == name) {
            format!("; send it in {place}")
        } else {
            nearest::hint(name, fields.iter().map(|field| field.name.as_str()))
        };
        Err(Error::invalid(format!(
            "unknown {} {name:?} for {}{hint}",
            self.name(),
            prepared.what
        )))
    }

    fn value(self, field: &Field, cells: &Cells, row: usize) -> Result<Value, Error> {
        // The most common key by far needs none of the fitting.
        if let (Cells::Ints(cells), DataType::Int64) = (cells, &field.data_type) {
            return Ok(Value::Int(cells[row]));
        }
        cells.value(row, &field.data_type).map_err(|unfit| {
            let advice = unfit.advice.map(|advice| format!("; {advice}"));
            Error::invalid(format!(
                "{} {:?} row {row}: expected {}, found {}{}",
                self.name(),
                field.name,
                field.data_type,
                unfit.found,
                advice.unwrap_or_default()
            ))
        })
    }
}
