//! What a table's name stands for, opened: its columns, what there is to read, and how it is read.

use crate::error::{Error, Kind};
use crate::place::Place;
use crate::table::{Fields, Listing, Table, Unit};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, UInt32Array};
use arrow::compute::{CastOptions, cast_with_options, take};
use arrow::csv::reader::{Format, ReaderBuilder};
use arrow::datatypes::{DataType as Arrow, Field, Schema, SchemaRef};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tiderace_plan::model::{Archive, DeclaredTable, QueryTable};

/// Rows of a CSV file that are read together.
const BATCH: usize = 8192;

/// What Hive's folders say where a value is null.
const NULL: &str = "__HIVE_DEFAULT_PARTITION__";

/// A table that a query reads.
#[derive(Debug)]
pub(super) struct Input {
    /// What it is called in messages.
    pub(super) name: String,
    /// Its columns, as queries see them.
    pub(super) schema: SchemaRef,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// No file yet.
    Nothing,
    /// Files with declared columns; those after them are of folders.
    Declared { of: DeclaredTable, table: Table },
    /// Files with columns of their own; those after `own` are of folders.
    Files { table: Table, own: usize },
    /// A CSV file.
    Csv(PathBuf),
}

impl Input {
    /// Opens a table; paths are relative to `project`.
    pub(super) async fn open(
        name: &str,
        of: &QueryTable,
        project: &Path,
        environment: &[(String, String)],
    ) -> Result<Input, Error> {
        let opened = match of {
            QueryTable::Declared(of) => Input::declared(name, of, project, environment).await,
            QueryTable::Parquet(path) => {
                let table = Table::open(path, project, environment.iter().cloned()).await;
                table.and_then(|table| Input::files(name, table.pinned()))
            }
            QueryTable::Csv { path, columns } => {
                let types: Vec<(&str, Arrow)> = columns
                    .iter()
                    .map(|(name, of)| (name.as_str(), of.to_arrow()))
                    .collect();
                Input::csv(name, project.join(path), &types)
            }
        };
        opened.map_err(|error| error.of(&format!("table `{name}`")))
    }

    async fn declared(
        name: &str,
        of: &DeclaredTable,
        project: &Path,
        environment: &[(String, String)],
    ) -> Result<Input, Error> {
        let is_empty = of.is_archive && !has_files(&of.parquet, project, environment).await?;
        let table = match is_empty {
            true => None,
            false => {
                let table = Table::open(&of.parquet, project, environment.iter().cloned()).await?;
                fields(of, &(0..of.columns.len()).collect::<Vec<_>>()).check(&table)?;
                Some(table.pinned())
            }
        };
        let columns = of.columns.iter();
        let mut all: Vec<Field> = columns
            .map(|(column, name)| Field::new(name, column.data_type.to_arrow(), true))
            .collect();
        let by_date = table.as_ref().is_some_and(|table| {
            let mut files = table.files().iter();
            files.all(|file| file.folder(Archive::PARTITIONED_BY).is_some())
        });
        let is_declared = all
            .iter()
            .any(|field| field.name() == Archive::PARTITIONED_BY);
        if (of.is_dated || by_date) && !is_declared {
            all.push(Field::new(Archive::PARTITIONED_BY, Arrow::Date32, true));
        }
        Ok(Input {
            name: name.to_owned(),
            schema: Arc::new(Schema::new(all)),
            content: match table {
                None => Content::Nothing,
                Some(table) => Content::Declared {
                    of: of.clone(),
                    table,
                },
            },
        })
    }

    fn files(name: &str, table: Table) -> Result<Input, Error> {
        let first = table.files().first();
        let first = first.ok_or_else(|| Error::new(Kind::Caller, "there is no Parquet file"))?;
        let mut all: Vec<Field> = first
            .schema()
            .fields()
            .iter()
            .map(|field| Field::new(field.name(), plain(field.data_type()), true))
            .collect();
        let own = all.len();
        for folder in first.folders() {
            if all.iter().all(|field| field.name() != folder) {
                let values = table.files().iter().map(|file| file.folder(folder));
                all.push(Field::new(folder, type_of(values), true));
            }
        }
        Ok(Input {
            name: name.to_owned(),
            schema: Arc::new(Schema::new(all)),
            content: Content::Files { table, own },
        })
    }

    fn csv(name: &str, path: PathBuf, types: &[(&str, Arrow)]) -> Result<Input, Error> {
        let called = path.display().to_string();
        let file = File::open(&path);
        let file = file.map_err(|error| Error::new(Kind::Caller, format!("{called}: {error}")))?;
        let format = Format::default().with_header(true);
        let (inferred, _) = format
            .infer_schema(BufReader::new(file), None)
            .map_err(|error| Error::data(&called, error))?;
        if let Some((unknown, _)) = types
            .iter()
            .find(|(name, _)| inferred.index_of(name).is_err())
        {
            let has = inferred.fields().iter();
            let has: Vec<&str> = has.map(|field| field.name().as_str()).collect();
            return Err(Error::data(
                &called,
                format!("there is no column `{unknown}`; it has {}", has.join(", ")),
            ));
        }
        let all = inferred.fields().iter().map(|field| {
            let declared = types.iter().find(|(name, _)| name == field.name());
            let of = declared.map(|(_, of)| of.clone());
            // A column without any value says nothing of its type.
            let of = of.unwrap_or_else(|| match field.data_type() {
                Arrow::Null => Arrow::Utf8,
                held => held.clone(),
            });
            Field::new(field.name(), of, true)
        });
        Ok(Input {
            name: name.to_owned(),
            schema: Arc::new(Schema::new(all.collect::<Vec<_>>())),
            content: Content::Csv(path),
        })
    }

    /// Its files, where it has any that are Parquet.
    pub(super) fn table(&self) -> Option<&Table> {
        match &self.content {
            Content::Declared { table, .. } | Content::Files { table, .. } => Some(table),
            Content::Nothing | Content::Csv(_) => None,
        }
    }

    /// What files call a column, and how the value of theirs is brought to its type.
    pub(super) fn bound(&self, unit: Unit, column: usize, bound: &ArrayRef) -> Option<ArrayRef> {
        let brought = match &self.content {
            Content::Declared { of, .. } => {
                let (declared, _) = of.columns.get(column)?;
                crate::table::brought(bound, declared).ok()
            }
            _ => cast(bound, self.schema.field(column).data_type()).ok(),
        };
        debug_assert!(
            self.table()
                .is_some_and(|table| unit.file < table.files().len())
        );
        brought
    }

    /// What the files call a column.
    pub(super) fn held(&self, column: usize) -> &str {
        let name = self.schema.field(column).name();
        match &self.content {
            Content::Declared { of, .. } => of.renamed.get(name).map_or(name, String::as_str),
            _ => name,
        }
    }

    /// What the folders of a file say of a column, as one value of its type.
    pub(super) fn of_folder(&self, file: usize, column: usize) -> Option<ArrayRef> {
        let said = self.table()?.files().get(file)?.folder(self.held(column))?;
        let value = Some(said).filter(|said| *said != NULL);
        let one: ArrayRef = Arc::new(StringArray::from(vec![value]));
        cast(&one, self.schema.field(column).data_type()).ok()
    }

    /// The rows of some units, in some of the columns.
    pub(super) fn read(
        self: &Arc<Self>,
        units: Vec<Unit>,
        projection: Vec<usize>,
    ) -> BoxStream<'static, Result<RecordBatch, Error>> {
        let input = Arc::clone(self);
        match &self.content {
            Content::Nothing => stream::empty().boxed(),
            Content::Csv(path) => match input.read_csv(path, &projection) {
                Ok(batches) => stream::iter(batches).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            },
            _ => stream::iter(units.into_iter().map(Ok))
                .and_then(move |unit| {
                    let (input, projection) = (Arc::clone(&input), projection.clone());
                    async move { input.unit(unit, projection) }
                })
                .try_flatten()
                .boxed(),
        }
    }

    fn read_csv(
        &self,
        path: &Path,
        projection: &[usize],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, Error>> + use<>, Error> {
        let called = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::store(&called, error))?;
        let reader = ReaderBuilder::new(Arc::clone(&self.schema))
            .with_header(true)
            .with_batch_size(BATCH)
            .with_projection(projection.to_vec())
            .build(file)
            .map_err(|error| Error::data(&called, error))?;
        Ok(reader.map(move |batch| batch.map_err(|error| Error::data(&called, error))))
    }

    fn unit(
        self: Arc<Self>,
        unit: Unit,
        projection: Vec<usize>,
    ) -> Result<BoxStream<'static, Result<RecordBatch, Error>>, Error> {
        let schema = Arc::new(
            self.schema
                .project(&projection)
                .map_err(|error| Error::data(&self.name, error))?,
        );
        match &self.content {
            Content::Declared { of, table } => {
                let mut read: Vec<usize> = projection
                    .iter()
                    .copied()
                    .filter(|column| *column < of.columns.len())
                    .collect();
                // How many rows there are is told by some column.
                if read.is_empty() {
                    read.push(0);
                }
                let reading = fields(of, &read).read(table, unit)?;
                let of_input = (self, schema, projection, read);
                let rows = stream::try_unfold(
                    (reading, of_input),
                    move |(mut reading, of_input)| async move {
                        let Some(rows) = reading.next().await? else {
                            return Ok(None);
                        };
                        let (input, schema, projection, read) = &of_input;
                        let of_file = |column: usize| {
                            let place = read.iter().position(|held| *held == column)?;
                            Some(rows.batch.column(place))
                        };
                        let batch = input.batch(
                            unit,
                            (schema, projection),
                            of_file,
                            rows.batch.num_rows(),
                        )?;
                        Ok(Some((batch, (reading, of_input))))
                    },
                );
                Ok(rows.boxed())
            }
            Content::Files { table, own } => {
                let file = &table.files()[unit.file];
                let name = table.name_of(unit);
                let mut roots = Vec::new();
                for column in projection.iter().filter(|column| **column < *own) {
                    let name_of = self.schema.field(*column).name();
                    let found = file.schema().index_of(name_of);
                    roots.push(found.map_err(|_| {
                        Error::data(&name, format!("there is no column `{name_of}`"))
                    })?);
                }
                let mut sorted = roots.clone();
                sorted.sort_unstable();
                sorted.dedup();
                let batches = table.read(unit, &sorted)?;
                let names: Vec<usize> = projection
                    .iter()
                    .copied()
                    .filter(|column| *column < *own)
                    .collect();
                let of_input = (self, schema, projection, names, roots, sorted);
                let rows = stream::try_unfold(
                    (batches, of_input),
                    move |(mut batches, of_input)| async move {
                        let Some(rows) = batches.next().await? else {
                            return Ok(None);
                        };
                        let (input, schema, projection, names, roots, sorted) = &of_input;
                        let of_file = |column: usize| {
                            let place = names.iter().position(|held| *held == column)?;
                            let root = sorted.binary_search(&roots[place]).ok()?;
                            Some(rows.column(root))
                        };
                        let batch =
                            input.batch(unit, (schema, projection), of_file, rows.num_rows())?;
                        Ok(Some((batch, (batches, of_input))))
                    },
                );
                Ok(rows.boxed())
            }
            Content::Nothing | Content::Csv(_) => Ok(stream::empty().boxed()),
        }
    }

    /// Rows of a unit in the columns that are asked for, those of folders among them.
    fn batch<'a>(
        &self,
        unit: Unit,
        (schema, projection): (&SchemaRef, &[usize]),
        of_file: impl Fn(usize) -> Option<&'a ArrayRef>,
        rows: usize,
    ) -> Result<RecordBatch, Error> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(projection.len());
        for column in projection {
            let field = self.schema.field(*column);
            let fault = |error: &dyn std::fmt::Display| {
                Error::data(&self.name, format!("column `{}`: {error}", field.name()))
            };
            let array = match of_file(*column) {
                Some(array) => cast(array, field.data_type()).map_err(|error| fault(&error))?,
                None => {
                    let one = self.of_folder(unit.file, *column);
                    let one = one.ok_or_else(|| fault(&"its folder says something else"))?;
                    let all = UInt32Array::from(vec![0; rows]);
                    take(&one, &all, None).map_err(|error| fault(&error))?
                }
            };
            columns.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(|error| Error::data(&self.name, error))
    }
}

/// What tells one version of the table from another, without opening its files.
pub(super) async fn version(
    of: &QueryTable,
    project: &Path,
    environment: &[(String, String)],
) -> Result<String, Error> {
    let mut text = of.words();
    let path = match of {
        QueryTable::Csv { path, .. } => {
            let path = project.join(path);
            let called = path.display().to_string();
            let held = std::fs::metadata(&path).map_err(|error| Error::store(&called, error))?;
            _ = write!(text, "\n{} {:?}", held.len(), held.modified().ok());
            return Ok(text);
        }
        QueryTable::Parquet(path) => path,
        QueryTable::Declared(of) => {
            if of.is_archive && !has_files(&of.parquet, project, environment).await? {
                return Ok(text);
            }
            &of.parquet
        }
    };
    if let Some(manifest) = manifest(path, project, environment).await? {
        _ = write!(text, "\n{} {}", manifest.archive, manifest.number);
        return Ok(text);
    }
    let listing = Listing::open(path, project, environment.iter().cloned()).await?;
    for (name, listed) in &listing.files {
        let tag = listed.tag.as_deref().unwrap_or_default();
        _ = write!(text, "\n{name} {} {} {tag}", listed.size, listed.modified);
    }
    Ok(text)
}

async fn manifest(
    path: &str,
    project: &Path,
    environment: &[(String, String)],
) -> Result<Option<crate::archive::Manifest>, Error> {
    if !path.contains("://") && !project.join(path).is_dir() {
        return Ok(None);
    }
    let place = Place::open(path, project, environment.iter().cloned())?;
    crate::archive::Manifest::read(&place).await
}

/// Whether an archive has a file.
async fn has_files(
    path: &str,
    project: &Path,
    environment: &[(String, String)],
) -> Result<bool, Error> {
    if !path.contains("://") && !project.join(path).exists() {
        return Ok(false);
    }
    if let Some(manifest) = manifest(path, project, environment).await? {
        return Ok(!manifest.files.is_empty());
    }
    if project.join(path).is_file() {
        return Ok(true);
    }
    let place = Place::open(path, project, environment.iter().cloned())?;
    let mut listed = place.store().list(None);
    while let Some(object) = listed.next().await {
        let object = object.map_err(|error| Error::store(&place.to_string(), error))?;
        if crate::table::is_of_table(&object.location) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Some of the columns of a table that are declared.
fn fields(of: &DeclaredTable, columns: &[usize]) -> Fields {
    let columns = columns.iter().map(|column| of.columns[*column].clone());
    Fields::new(columns).renamed(&of.renamed)
}

/// The type that queries see for one that files have: texts and bytes have one form each.
fn plain(held: &Arrow) -> Arrow {
    match held {
        Arrow::Dictionary(_, values) => plain(values),
        Arrow::LargeUtf8 | Arrow::Utf8View => Arrow::Utf8,
        Arrow::LargeBinary | Arrow::BinaryView => Arrow::Binary,
        other => other.clone(),
    }
}

/// The type of what folders say.
fn type_of<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Arrow {
    let values: Vec<Option<&str>> = values.filter(|value| *value != Some(NULL)).collect();
    let all: ArrayRef = Arc::new(StringArray::from(values.clone()));
    let is_number = |text: &str| text == "0" || !text.trim_start_matches('-').starts_with('0');
    if values.iter().flatten().all(|text| is_number(text)) && cast(&all, &Arrow::Int64).is_ok() {
        return Arrow::Int64;
    }
    match cast(&all, &Arrow::Date32) {
        Ok(_) => Arrow::Date32,
        Err(_) => Arrow::Utf8,
    }
}

fn cast(array: &ArrayRef, to: &Arrow) -> Result<ArrayRef, arrow::error::ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    let strictly = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(array, to, &strictly)
}
