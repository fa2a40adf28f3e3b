//! A query over opened tables to a plan: names and types are settled here, and what may not be asked.

use super::input::Input;
use super::scan::Provider;
use crate::error::{Error, Kind};
use arrow::datatypes::{DataType as Arrow, TimeUnit as ArrowUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column as Name, DFSchema, DataFusionError, ScalarValue};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Cast, Expr, LogicalPlan, LogicalPlanBuilder, Volatility};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use tiderace_expr::{query_error, word};
use tiderace_plan::model::{Query, QueryTable, Source};
use tiderace_types::{Column, DataType, Timestamp};

/// What is wrong with a query, and where.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What is wrong; its place is in the query's text.
    pub error: tiderace_expr::Error,
    /// The declared column that it is about, as an index into the source's, where it is about one.
    pub column: Option<usize>,
}

/// A column that is wanted of an answer.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// What the query calls it.
    pub(super) held: String,
    /// Its type.
    pub(super) column: Column,
    /// Its place among the source's columns.
    pub(super) place: usize,
    pub(super) is_key: bool,
}

/// The columns that a SQL view wants of the answer of its query: its keys first, each once.
pub(super) fn wanted(source: &Source, query: &Query, keys: &[usize]) -> Vec<Wanted> {
    let others = source.used.iter().copied();
    let places = keys
        .iter()
        .copied()
        .map(|place| (place, true))
        .chain(others.map(|place| (place, false)));
    let mut all: Vec<Wanted> = Vec::new();
    for (place, is_key) in places {
        let name = &source.names[place];
        if !query.has_event_time && place == source.event_time {
            continue;
        }
        let renamed = source
            .archive
            .as_ref()
            .and_then(|archive| archive.renamed.get(name));
        let held = renamed.unwrap_or(name);
        if all.iter().any(|wanted| wanted.held == *held) {
            continue;
        }
        all.push(Wanted {
            held: held.clone(),
            column: source.columns[place].clone(),
            place,
            is_key,
        });
    }
    all
}

/// Checks a query against its tables, where these are on this machine: its names, its types, and that it
/// answers what `source`, the table of its view, declares. `keys` are the places of the entity's keys among
/// the source's columns.
///
/// # Errors
/// When a table is there and cannot be read.
pub async fn check(
    source: &Source,
    query: &Query,
    keys: &[usize],
    project: &Path,
) -> Result<Vec<Problem>, Error> {
    let mut inputs = Vec::new();
    for (name, of) in &query.tables {
        if !is_here(of, project) {
            return Ok(Vec::new());
        }
        inputs.push(Arc::new(Input::open(name, of, project, &[]).await?));
    }
    let session = Session::new(query, None, Timestamp(0))?;
    let wanted = wanted(source, query, keys);
    match session.answer(&inputs, query, &wanted).await {
        Ok(_) => Ok(Vec::new()),
        Err(Refused::Query(problems)) => Ok(problems),
        Err(Refused::Other(error)) => Err(error),
    }
}

/// Whether a table is a file or a folder that is there, or has its columns declared.
fn is_here(of: &QueryTable, project: &Path) -> bool {
    let path = match of {
        QueryTable::Declared(of) if of.is_archive => return !of.parquet.contains("://"),
        QueryTable::Declared(of) => &of.parquet,
        QueryTable::Parquet(path) | QueryTable::Csv { path, .. } => path,
    };
    !path.contains("://") && project.join(path).exists()
}

/// Why there is no plan.
#[derive(Debug)]
pub(super) enum Refused {
    Query(Vec<Problem>),
    Other(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Other(error)
    }
}

/// A query that is planned.
pub(super) struct Planned {
    /// Its answer in the wanted columns and types, by key.
    pub(super) plan: LogicalPlan,
    /// Whether it asks for the instant of the run.
    pub(super) asks_now: bool,
}

/// DataFusion's session for one run.
pub(super) struct Session {
    pub(super) state: SessionState,
}

/// How much of a run's memory is kept for merging what was put aside.
const MERGING: usize = 8;

impl Session {
    /// A session whose `now()` is `at`. What does not fit in memory goes to a folder in `folder`; without
    /// one nothing is run.
    pub(super) fn new(
        query: &Query,
        folder: Option<&Path>,
        at: Timestamp,
    ) -> Result<Session, Error> {
        let memory = usize::try_from(query.memory).unwrap_or(usize::MAX);
        let most = NonZeroUsize::new(3).expect("three is not zero");
        let pool = TrackConsumersPool::new(FairSpillPool::new(memory), most);
        let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool));
        if let Some(folder) = folder {
            runtime = runtime.with_temp_file_path(folder);
        }
        let runtime = runtime.build_arc().map_err(|error| other(&error))?;
        let mut config = SessionConfig::new()
            .with_target_partitions(1)
            .with_sort_spill_reservation_bytes((memory / MERGING).min(10 << 20));
        let options = config.options_mut();
        options.sql_parser.map_string_types_to_utf8view = false;
        options.sql_parser.collect_spans = true;
        let mut state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        let instant = chrono::DateTime::from_timestamp_micros(at.0);
        state.execution_props_mut().query_execution_start_time = instant;
        Ok(Session { state })
    }

    /// The same where joins sort both sides instead of holding one in memory.
    pub(super) fn sorting(mut self) -> Session {
        let options = self.state.config_mut().options_mut();
        options.optimizer.prefer_hash_join = false;
        self
    }

    /// Plans a query over its tables.
    pub(super) async fn answer(
        &self,
        inputs: &[Arc<Input>],
        query: &Query,
        wanted: &[Wanted],
    ) -> Result<Planned, Refused> {
        // The context shares its catalog with the state.
        let context = SessionContext::new_with_state(self.state.clone());
        for input in inputs {
            let provider = Arc::new(Provider(Arc::clone(input)));
            let registered = context.register_table(input.name.as_str(), provider);
            registered.map_err(|error| other(&error))?;
        }
        let text = &query.text;
        let refused = |error: &DataFusionError| {
            Refused::Query(vec![Problem {
                error: query_error(text, error),
                column: None,
            }])
        };
        let plan = self.state.create_logical_plan(text).await;
        let plan = plan.map_err(|error| refused(&error))?;
        let asks_now = functions(&plan, text)?;
        let columns = in_columns(&plan, query, wanted)?;
        let sorted = LogicalPlanBuilder::from(plan)
            .project(columns)
            .and_then(|built| {
                let keys = wanted.iter().filter(|wanted| wanted.is_key);
                let by = keys.map(|key| Expr::Column(Name::new_unqualified(&key.held)));
                built.sort(by.map(|key| key.sort(true, true)))
            })
            .and_then(LogicalPlanBuilder::build);
        let plan = sorted.map_err(|error| refused(&error))?;
        // What is of a wrong type within the query is found by the rules that coerce types.
        self.state
            .optimize(&plan)
            .map_err(|error| refused(&error))?;
        Ok(Planned { plan, asks_now })
    }
}

/// Refuses functions whose answers differ from row to row of one input; tells whether the instant of the
/// run is asked.
fn functions(plan: &LogicalPlan, text: &str) -> Result<bool, Refused> {
    let mut asks_now = false;
    let mut random: Option<String> = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|inner| {
                if let Expr::ScalarFunction(call) = inner {
                    match call.func.signature().volatility {
                        Volatility::Immutable => {}
                        Volatility::Stable => asks_now = true,
                        Volatility::Volatile => random = Some(call.name().to_owned()),
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(|error| other(&error))?;
    let Some(random) = random else {
        return Ok(asks_now);
    };
    let error = tiderace_expr::Error {
        message: format!(
            "`{random}()` is different each time: the same tables must give the same answer"
        ),
        span: word(text, &random),
        help: None,
    };
    Err(Refused::Query(vec![Problem {
        error,
        column: None,
    }]))
}

/// The wanted columns of an answer, in their types.
fn in_columns(plan: &LogicalPlan, query: &Query, wanted: &[Wanted]) -> Result<Vec<Expr>, Refused> {
    let schema = plan.schema();
    let mut columns = Vec::new();
    let mut problems = Vec::new();
    for wanted in wanted {
        match in_column(schema, query, wanted) {
            Ok(column) => columns.push(column),
            Err((message, help)) => problems.push(Problem {
                error: tiderace_expr::Error {
                    message,
                    span: None,
                    help,
                },
                column: Some(wanted.place),
            }),
        }
    }
    match problems.is_empty() {
        true => Ok(columns),
        false => Err(Refused::Query(problems)),
    }
}

fn in_column(
    schema: &DFSchema,
    query: &Query,
    wanted: &Wanted,
) -> Result<Expr, (String, Option<String>)> {
    let Wanted { held, column, .. } = wanted;
    if query.audience.as_ref() == Some(held) {
        let true_of_all = Expr::Literal(ScalarValue::Boolean(Some(true)), None);
        return Ok(true_of_all.alias(held));
    }
    let mut found = schema.iter().filter(|(_, field)| field.name() == held);
    let Some((qualifier, field)) = found.next() else {
        let names = schema.iter().map(|(_, field)| field.name().as_str());
        let names: Vec<&str> = names.collect();
        let near = tiderace_expr::nearest(held, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err((
            format!("the query answers no column `{held}`{near}"),
            Some(format!("it answers {}", names.join(", "))),
        ));
    };
    if found.next().is_some() {
        return Err((
            format!("the query answers several columns `{held}`"),
            Some("give them names of their own: `… AS name`".to_owned()),
        ));
    }
    let of = field.data_type();
    let steps = steps(of, &column.data_type).ok_or_else(|| {
        (
            format!(
                "the query answers column `{held}` as {}, and it is declared {}",
                named(of),
                column.data_type
            ),
            Some("declare that type, or cast it in the query: `CAST(… AS …)`".to_owned()),
        )
    })?;
    let column = Expr::Column(Name::from((qualifier, field)));
    let cast = steps.into_iter().fold(column, |inner, step| {
        Expr::Cast(Cast::new(Box::new(inner), step))
    });
    Ok(cast.alias(held))
}

/// The casts from a type of an answer to a declared one; `None` where it is no such value.
fn steps(held: &Arrow, declared: &DataType) -> Option<Vec<Arrow>> {
    let to = declared.to_arrow();
    let is_decimal = |of: &Arrow| {
        matches!(
            of,
            Arrow::Decimal32(..)
                | Arrow::Decimal64(..)
                | Arrow::Decimal128(..)
                | Arrow::Decimal256(..)
        )
    };
    let is_fit = match declared {
        _ if *held == to => return Some(Vec::new()),
        // A null of no type.
        _ if *held == Arrow::Null => true,
        DataType::Bool => false,
        DataType::Int64 => held.is_integer(),
        DataType::Float64 => held.is_floating() || held.is_integer() || is_decimal(held),
        DataType::Decimal { .. } => held.is_integer() || is_decimal(held),
        DataType::String => matches!(held, Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View),
        DataType::Bytes => matches!(
            held,
            Arrow::Binary | Arrow::LargeBinary | Arrow::BinaryView | Arrow::FixedSizeBinary(_)
        ),
        DataType::Timestamp => match held {
            // A zone is only how an instant is shown.
            Arrow::Timestamp(unit, Some(_)) => {
                let utc = Some("+00:00".into());
                return Some(vec![Arrow::Timestamp(*unit, utc), to]);
            }
            Arrow::Timestamp(_, None) | Arrow::Date32 | Arrow::Date64 => true,
            _ => false,
        },
        DataType::Duration => matches!(held, Arrow::Duration(_)),
        DataType::List(_) | DataType::Map(..) => false,
    };
    is_fit.then(|| vec![to])
}

/// A type in the words of definitions, where these have one.
fn named(of: &Arrow) -> String {
    let word = match of {
        Arrow::Boolean => "bool",
        Arrow::Int64 => "int64",
        Arrow::Float64 => "float64",
        Arrow::Utf8 => "string",
        Arrow::Binary => "bytes",
        Arrow::Timestamp(ArrowUnit::Microsecond, _) => "timestamp",
        Arrow::Decimal128(precision, scale) => return format!("decimal({precision}, {scale})"),
        other => return other.to_string(),
    };
    word.to_owned()
}

/// An error of DataFusion's that is not about the query's text.
pub(super) fn other(error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(own) = inner.downcast_ref::<Error>()
    {
        return Error::new(own.kind(), own.to_string());
    }
    let said = root.to_string();
    let first = said.lines().next().unwrap_or_default();
    Error::new(Kind::Data, first.trim_end_matches('.'))
}

/// What is wrong with a query, in one line, for who runs it.
pub(super) fn told(problems: &[Problem]) -> Error {
    let said = problems
        .iter()
        .map(|problem| problem.error.message.as_str());
    Error::new(
        Kind::Caller,
        format!("the query: {}", said.collect::<Vec<_>>().join("; ")),
    )
}

/// Tables by name, opened.
pub(super) async fn open(
    tables: &BTreeMap<String, QueryTable>,
    project: &Path,
    environment: &[(String, String)],
) -> Result<Vec<Arc<Input>>, Error> {
    let mut inputs = Vec::with_capacity(tables.len());
    for (name, of) in tables {
        inputs.push(Arc::new(Input::open(name, of, project, environment).await?));
    }
    Ok(inputs)
}
