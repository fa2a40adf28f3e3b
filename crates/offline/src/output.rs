//! Tables on their way out: Parquet or CSV, to a file or a store, whole or not at all.

use crate::error::{Error, Kind};
use crate::place::Place;
use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use object_store::buffered::BufWriter as StoreWriter;
use object_store::path::Path as Key;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt;

/// A table that is being written. Until [`Output::finish`] nobody sees it.
pub struct Output {
    name: String,
    schema: SchemaRef,
    file: NamedTempFile,
    writer: Writer,
    to: To,
}

enum Writer {
    Parquet(Box<ArrowWriter<BufWriter<File>>>),
    Csv(Box<arrow::csv::Writer<BufWriter<File>>>),
}

enum To {
    File(std::path::PathBuf),
    Store(Place, Key),
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header; lists and maps are text.
    Csv,
}

impl Output {
    /// Begins a file of this machine. Its folder is made where it is not there.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn file(path: &Path, form: Form, schema: &SchemaRef) -> Result<Output, Error> {
        let name = path.display().to_string();
        let folder = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let made = std::fs::create_dir_all(folder).and_then(|()| NamedTempFile::new_in(folder));
        let file = made.map_err(|error| Error::new(Kind::Caller, format!("{name}: {error}")))?;
        Output::begin(name, file, form, schema, To::File(path.to_owned()))
    }

    /// Begins an object of a store; it is put together in `scratch` first.
    ///
    /// # Errors
    /// When `scratch` cannot be written.
    pub fn object(
        place: Place,
        key: Key,
        form: Form,
        schema: &SchemaRef,
        scratch: &Path,
    ) -> Result<Output, Error> {
        let name = place.name_of(&key);
        let file = NamedTempFile::new_in(scratch).map_err(|error| Error::store(&name, error))?;
        Output::begin(name, file, form, schema, To::Store(place, key))
    }

    fn begin(
        name: String,
        file: NamedTempFile,
        form: Form,
        schema: &SchemaRef,
        to: To,
    ) -> Result<Output, Error> {
        let handle = file.reopen().map_err(|error| Error::store(&name, error))?;
        let buffered = BufWriter::with_capacity(1 << 18, handle);
        let schema = match form {
            Form::Parquet => Arc::clone(schema),
            Form::Csv => plain(schema),
        };
        let writer = match form {
            Form::Parquet => {
                let mut properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_created_by(concat!("tiderace ", env!("CARGO_PKG_VERSION")).to_owned());
                // Of most columns of numbers a dictionary is made to be thrown away.
                for field in schema.fields() {
                    let column = ColumnPath::from(field.name().as_str());
                    let encoding = match field.data_type() {
                        DataType::Float64 => Encoding::PLAIN,
                        DataType::Int64 | DataType::Timestamp(..) => Encoding::DELTA_BINARY_PACKED,
                        _ => continue,
                    };
                    properties = properties
                        .set_column_dictionary_enabled(column.clone(), false)
                        .set_column_encoding(column, encoding);
                }
                let writer =
                    ArrowWriter::try_new(buffered, Arc::clone(&schema), Some(properties.build()));
                Writer::Parquet(Box::new(writer.map_err(|error| Error::data(&name, error))?))
            }
            Form::Csv => Writer::Csv(Box::new(
                WriterBuilder::new().with_header(true).build(buffered),
            )),
        };
        Ok(Output {
            name,
            schema,
            file,
            writer,
            to,
        })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match &mut self.writer {
            Writer::Parquet(writer) => {
                let written = writer.write(batch);
                written.map_err(|error| Error::store(&self.name, error))
            }
            Writer::Csv(writer) => {
                let columns = batch.columns().iter().zip(self.schema.fields());
                let columns: Result<Vec<ArrayRef>, _> = columns
                    .map(|(column, field)| textual(column, field))
                    .collect();
                let columns = columns.map_err(|error| Error::data(&self.name, error))?;
                let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns);
                let batch = batch.map_err(|error| Error::data(&self.name, error))?;
                let written = writer.write(&batch);
                written.map_err(|error| Error::store(&self.name, error))
            }
        }
    }

    /// Makes the table stand where it belongs, durably, in place of what stood there.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn finish(self) -> Result<(), Error> {
        let name = self.name;
        let fault = |error: &dyn std::fmt::Display| Error::store(&name, error);
        let buffered = match self.writer {
            Writer::Parquet(writer) => writer.into_inner().map_err(|error| fault(&error))?,
            Writer::Csv(writer) => writer.into_inner(),
        };
        let mut buffered = buffered;
        buffered.flush().map_err(|error| fault(&error))?;
        drop(buffered);
        match self.to {
            To::File(path) => {
                self.file
                    .as_file()
                    .sync_all()
                    .map_err(|error| fault(&error))?;
                open_to_all(&self.file).map_err(|error| fault(&error))?;
                self.file
                    .persist(path)
                    .map_err(|error| fault(&error.error))?;
            }
            To::Store(place, key) => {
                let mut file = self.file.reopen().map_err(|error| fault(&error))?;
                file.seek(SeekFrom::Start(0))
                    .map_err(|error| fault(&error))?;
                let mut writer = StoreWriter::new(Arc::clone(place.store()), key);
                let mut buffer = vec![0; 1 << 20];
                loop {
                    let read = file.read(&mut buffer).map_err(|error| fault(&error))?;
                    if read == 0 {
                        break;
                    }
                    let written = writer.write_all(&buffer[..read]).await;
                    written.map_err(|error| fault(&error))?;
                }
                writer.shutdown().await.map_err(|error| fault(&error))?;
            }
        }
        Ok(())
    }
}

/// Temporary files are for their owner alone; a table is as other new files are.
fn open_to_all(file: &NamedTempFile) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
}

/// The columns as CSV has them: what is no scalar is text.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        held if held.is_nested() || *held == DataType::Binary => {
            Field::new(field.name(), DataType::Utf8, true)
        }
        _ => field.as_ref().clone(),
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn textual(column: &ArrayRef, field: &Field) -> Result<ArrayRef, arrow::error::ArrowError> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let mut texts = StringBuilder::new();
    for row in 0..column.len() {
        match column.is_null(row) {
            true => texts.append_null(),
            false => texts.append_value(formatter.value(row).try_to_string()?),
        }
    }
    Ok(Arc::new(texts.finish()))
}
