//! The command line.

use crate::access::Access;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use tiderace_source::LetterPlace;

/// A real-time feature store: exact windowed features from event streams, served with how far to believe them.
#[derive(Debug, Parser)]
#[command(name = "tiderace", version, propagate_version = true)]
pub struct Cli {
    /// How log lines look. Their level comes from TIDERACE_LOG (default: info).
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How answers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// How the schema looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaFormat {
    /// A JSON Schema.
    Json,
    /// The reference: every field, in tables.
    Markdown,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a project that runs, to be changed into one's own.
    #[command(
        after_help = "Examples:\n  tiderace init\n  tiderace init features/ --name card_risk"
    )]
    Init(Init),
    /// Check every definition of a project; exit code 1 when something is wrong.
    #[command(
        after_help = "Examples:\n  tiderace check features/\n  tiderace check features/ --format json\n  tiderace check features/ --online"
    )]
    Check {
        /// The project's folder.
        #[arg(default_value = "features")]
        project: PathBuf,
        /// How findings look.
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
        /// Also ask Kafka for the topics, and the schema registry for every version of their schemas:
        /// is what is declared there, and has a change broken it?
        #[arg(long)]
        online: bool,
    },
    /// Run the tests of a project's definitions: no servers, through the engine that runs.
    #[command(
        after_help = "Exit code 1: a test failed. Exit code 2: the definitions or their tests have errors, or no test is left to run.\n\nExamples:\n  tiderace test features/\n  tiderace test features/ --filter fraud\n  tiderace test features/ --format junit > tests.xml"
    )]
    Test(Test),
    /// Say what a change of the definitions means and does, against the lock file that is committed with them.
    #[command(
        after_help = "Exit code 1: the definitions have errors, a name means something else than the lock says and that is not accepted, or with --locked the lock is out of date.\n\nExamples:\n  tiderace plan features/\n  tiderace plan features/ --write\n  tiderace plan features/ --accept-change customer_spend\n  tiderace plan features/ --locked --format json"
    )]
    Plan(Plan),
    /// Have definitions run: at once in the process that runs, and from the next start on. Rolling back is
    /// applying what was there before.
    #[command(
        after_help = "What names mean is compared with what was applied last, and with the lock file, which says what has been reviewed.\nExit code 1: nothing is applied, because the definitions have errors, a name means something else and that is not accepted, or the process that runs refused them; or that process did not answer.\n\nExamples:\n  tiderace apply features/\n  tiderace apply features/ --dry-run\n  tiderace apply features/ --locked --note \"$(git rev-parse --short HEAD)\"\n  tiderace apply features/ --accept-change customer_spend\n  tiderace apply features/ --list\n  git checkout v41 && tiderace apply features/"
    )]
    Apply(Apply),
    /// Print the JSON Schema of definition files, for editors, or the same as a page.
    #[command(
        after_help = "Examples:\n  tiderace schema > .tiderace.schema.json\n  tiderace schema --format markdown > reference.md"
    )]
    Schema {
        /// For editors, or for people.
        #[arg(long, value_enum, default_value_t = SchemaFormat::Json)]
        format: SchemaFormat,
    },
    /// Consume, compute and serve, in one process.
    #[command(after_help = "Example:\n  tiderace run --project features/")]
    Run(Working),
    /// Consume and compute only; other processes serve from the same Redis.
    #[command(
        after_help = "Examples:\n  tiderace worker --project features/\n  tiderace worker --project features/ --process 2"
    )]
    Worker(Working),
    /// Serve only, from the Redis that a worker fills.
    #[command(after_help = "Example:\n  tiderace serve --project features/")]
    Serve(Project),
    /// Look a feature service up and print the answer.
    #[command(
        after_help = "Examples:\n  tiderace get fraud_v1 customer_id=596 terminal_id=3156 amount=57.16\n  tiderace get fraud_v1 customer_id=596 terminal_id=3156 amount=57.16 --as-of 2018-04-01T00:00:31Z --format json"
    )]
    Get(Get),
    /// Push events into a source of a running server: JSON objects, one a line.
    #[command(
        after_help = "Examples:\n  tiderace push card_payments '{\"tx_id\": 1, \"tx_time\": \"2018-04-01T00:00:31Z\", \"customer_id\": 596, \"terminal_id\": 3156, \"amount\": 57.16, \"is_fraud\": 0}'\n  tiderace push card_payments < events.jsonl"
    )]
    Push(Push),
    /// Bring a Parquet or JSON-lines file into a source: into its topic, or its embedded log.
    #[command(
        after_help = "Examples:\n  tiderace replay --source card_payments payments.parquet\n  tiderace replay --project features/ --source card_payments events.jsonl --key customer_id"
    )]
    Replay(Replay),
    /// Make a training set: for each row of a file, a service's features as they stood at the row's instant.
    #[command(
        after_help = "Examples:\n  tiderace history --service fraud_v1 --spine payments.parquet --out training.parquet\n  tiderace history --service fraud_v1 --spine labels.csv --timestamp seen_at --exclude tx_id --out training.csv\n  tiderace history --service fraud_v1 --spine s3://lake/labels --out s3://lake/training --part 3/16"
    )]
    History(History),
    /// Recount what is served from the past, by the most obvious loops; exit code 1 when a value is not what a
    /// recount says.
    #[command(
        after_help = "Examples:\n  tiderace reconcile\n  tiderace reconcile --view customer_spend --sample 1000\n  tiderace reconcile --log --sample 20\n  tiderace reconcile --entities watched.csv --as-of 2018-04-01T00:00:31Z --format json"
    )]
    Reconcile(Reconcile),
    /// Show the events behind one value: where they were read, and what a recount of them says.
    #[command(
        after_help = "Examples:\n  tiderace explain fraud_v1 customer_id=596 tx_count_7d\n  tiderace explain fraud_v1 terminal_id=3156 risk_7d_delay_7d --as-of 2018-05-01T00:00:00Z"
    )]
    Explain(Explain),
    /// Give a view the events from before it began: from its source's archive, or another table.
    #[command(
        after_help = "The events are prepared here, and taken in by the process that runs, while the stream goes on.\nExit code 1: they are not, or the view is not whole with them; the last line says why.\n\nExamples:\n  tiderace backfill customer_spend\n  tiderace backfill customer_spend --dry-run\n  tiderace backfill customer_spend --table s3://lake/payments --complete-since beginning\n  tiderace backfill customer_spend --part 0/4"
    )]
    Backfill(Backfill),
    /// Bring the table of a batch view in now, or run the query of a SQL view, and wait until its rows are served.
    #[command(
        after_help = "The process that runs does it. Exit code 1: the view is not as its table; the last line says why.\n\nExamples:\n  tiderace sync customer_profile\n  tiderace sync customer_profile --project features/ --wait"
    )]
    Sync(Sync),
    /// Look at the records that a source refused, and send them again.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Make a token for a caller of the doors, and print what of it goes into tiderace.yaml.
    #[command(
        after_help = "The token is kept nowhere: what tiderace.yaml has is its hash.\n\nExamples:\n  tiderace token scoring\n  tiderace token scoring --format json"
    )]
    Token(Token),
    /// Watch it work: made-up card payments through the example project, no servers needed.
    #[command(after_help = "Example:\n  tiderace demo --rate 2000")]
    Demo(Demo),
    /// Print the completions of a shell.
    #[command(
        after_help = "Examples:\n  tiderace completions bash > /etc/bash_completion.d/tiderace\n  tiderace completions zsh > ~/.zfunc/_tiderace\n  tiderace completions fish > ~/.config/fish/completions/tiderace.fish"
    )]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder, which is made.
    #[arg(default_value = "features")]
    pub folder: PathBuf,
    /// The project's name: the prefix of its keys in Redis and of its consumers.
    #[arg(long, default_value = "first_project")]
    pub name: String,
}

/// Arguments of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// The project's folder.
    #[arg(default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
    /// Only tests whose name, view or service has this text in it; may be given several times.
    #[arg(long)]
    pub filter: Vec<String>,
    /// How the results look.
    #[arg(long, value_enum, default_value = "text")]
    pub format: TestFormat,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The project's folder.
    #[arg(default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
    /// Write the lock file, `tiderace.lock` in the project's folder.
    #[arg(long)]
    pub write: bool,
    /// Accept that names of this view, source or service mean something else now, and write the lock file;
    /// may be given several times.
    #[arg(long, value_name = "NAME")]
    pub accept_change: Vec<String>,
    /// Fail where the lock file is not what the definitions come to: for CI.
    #[arg(long, conflicts_with_all = ["write", "accept_change"])]
    pub locked: bool,
    /// Entities of each view that sizes are told for.
    #[arg(long, default_value_t = 1_000_000)]
    pub entities: u64,
    /// Events of each entity that sizes are told for.
    #[arg(long, default_value_t = 100)]
    pub events: u64,
    /// How the plan looks.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct Apply {
    /// The project's folder.
    #[arg(default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
    /// Accept that names of this view, source or service mean something else now, and write the lock file if
    /// there is one; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub accept_change: Vec<String>,
    /// Say what would come of it, and apply nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Apply nothing where the lock file is not what the definitions come to: for deployments by CI.
    #[arg(long, conflicts_with = "accept_change")]
    pub locked: bool,
    /// Say what was applied, the newest first, and what runs.
    #[arg(long, conflicts_with_all = ["accept_change", "dry_run", "locked", "note"])]
    pub list: bool,
    /// A word about it for `--list`, such as the commit.
    #[arg(long)]
    pub note: Option<String>,
    /// How long the process that runs may take to run them, in seconds.
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
    /// How the answer looks.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// How the results of tests look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// For people.
    Text,
    /// JUnit's XML, for CI.
    Junit,
    /// For scripts.
    Json,
}

/// Which project.
#[derive(Clone, Debug, Args)]
pub struct Project {
    /// The project's folder.
    #[arg(long, default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
}

/// Which project, and which part of its work.
#[derive(Clone, Debug, Args)]
pub struct Working {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// Which of the processes that share the work (`state.processes`) this is, from 0: a number, or a
    /// name that ends in one, such as `worker-2`.
    #[arg(long, env = "TIDERACE_PROCESS", value_parser = process)]
    pub process: Option<u32>,
}

/// Where the server is.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// The project's folder, whose gRPC address is asked.
    #[arg(long, default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
    /// The gRPC address, instead of the project's.
    #[arg(long, env = "TIDERACE_SERVER")]
    pub server: Option<String>,
    /// How it is reached.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct Token {
    /// What the caller is to be called.
    #[arg(default_value = "caller")]
    pub name: String,
    /// How the answer looks.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub struct Get {
    /// Where to ask.
    #[command(flatten)]
    pub server: Server,
    /// The feature service.
    pub service: String,
    /// Entity keys and request data, as `name=value`; several rows as `name=1,2,3`.
    #[arg(required = true, value_parser = pair)]
    pub columns: Vec<(String, String)>,
    /// The instant to answer for, as RFC 3339; now when absent.
    #[arg(long)]
    pub as_of: Option<String>,
    /// Tell too until when each value stands that changes with no further event.
    #[arg(long)]
    pub valid_until: bool,
    /// How the answer looks.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub struct Push {
    /// Where to push.
    #[command(flatten)]
    pub server: Server,
    /// The source.
    pub source: String,
    /// One event; events are read from standard input when absent.
    pub event: Option<String>,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The project's folder.
    #[arg(long, default_value = "features", env = "TIDERACE_PROJECT")]
    pub project: PathBuf,
    /// The source.
    #[arg(long)]
    pub source: String,
    /// The file: .parquet, .jsonl, .ndjson or .json.
    pub file: PathBuf,
    /// The column whose value decides the Kafka partition; the first entity key when absent.
    #[arg(long)]
    pub key: Option<String>,
    /// Create the Kafka topic with so many partitions when it is absent.
    #[arg(long)]
    pub partitions: Option<u32>,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The feature service.
    #[arg(long)]
    pub service: String,
    /// The rows: a Parquet file, a folder of them, `s3://bucket/prefix`, or a CSV file. They need the keys of
    /// the service's entities, the instant, and what on-demand features take from a request.
    #[arg(long)]
    pub spine: String,
    /// Where the training set goes: a file, or with `--part` a folder or `s3://bucket/prefix`.
    #[arg(long)]
    pub out: String,
    /// How it is written; told from the name of `--out` when absent, else Parquet.
    #[arg(long, value_enum)]
    pub format: Option<TableFormat>,
    /// The column with the instants. When absent: `event_timestamp`, `timestamp`, or the event time of
    /// a source of the service, whichever there is.
    #[arg(long)]
    pub timestamp: Option<String>,
    /// A column with the id of an event of the row, which is left out of its features: usually the
    /// event that is to be judged.
    #[arg(long)]
    pub exclude: Option<String>,
    /// Add a column FEATURE__completeness for each feature: COMPLETE, or WARMING where its window begins before the
    /// past does, so that it may lack events.
    #[arg(long)]
    pub completeness: bool,
    /// A source's past, in place of its archive: `source=PATH`; may be given several times.
    #[arg(long, value_parser = pair)]
    pub table: Vec<(String, String)>,
    /// Memory to work in: a number with a unit of KiB, MiB or GiB. What does not fit goes to files beside `--scratch`.
    #[arg(long, default_value = "1GiB", value_parser = size)]
    pub memory: u64,
    /// Where files go that do not fit in memory; the system's folder for such when absent.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    /// Threads; one for each core when absent.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Only share `i` of `N` of the rows (from 0), so that N machines can each make one.
    #[arg(long, value_parser = part)]
    pub part: Option<(u64, u64)>,
}

/// Arguments of `reconcile`.
#[derive(Debug, Args)]
pub struct Reconcile {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The gRPC address of the server, instead of the project's.
    #[arg(long, env = "TIDERACE_SERVER")]
    pub server: Option<String>,
    /// How it is reached.
    #[command(flatten)]
    pub access: Access,
    /// Only this view; may be given several times.
    #[arg(long)]
    pub view: Vec<String>,
    /// How many entities of each view are picked by chance.
    #[arg(long, default_value_t = 100, conflicts_with = "entities")]
    pub sample: usize,
    /// Which are picked: the same number, the same entities.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// A Parquet or CSV file with the keys of entities to compare.
    #[arg(long)]
    pub entities: Option<String>,
    /// The instant to compare at, as RFC 3339; now when absent.
    #[arg(long)]
    pub as_of: Option<String>,
    /// A source's past, in place of its archive: `source=PATH`; may be given several times.
    #[arg(long, value_parser = pair)]
    pub table: Vec<(String, String)>,
    /// Recount from sources' topics as they are now, from their beginning, and not from archives. So it is anyway
    /// where a source has a topic and no archive.
    #[arg(long)]
    pub log: bool,
    /// How many seconds a difference is looked at again: events are served at once, and archived a little later.
    #[arg(long, default_value_t = 90)]
    pub patience: u64,
    /// Have the rows of entities that differ published again from state, and compare them once more. Needs the
    /// state folder of the process that runs.
    #[arg(long)]
    pub repair: bool,
    /// How the findings look.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The gRPC address of the server, instead of the project's.
    #[arg(long, env = "TIDERACE_SERVER")]
    pub server: Option<String>,
    /// How it is reached.
    #[command(flatten)]
    pub access: Access,
    /// The feature service.
    pub service: String,
    /// The entity's keys, as `name=value`, and then the feature.
    #[arg(required = true, num_args = 1.., value_name = "KEY=VALUE FEATURE")]
    pub what: Vec<String>,
    /// The instant, as RFC 3339; now when absent.
    #[arg(long)]
    pub as_of: Option<String>,
    /// A source's past, in place of its archive: `source=PATH`; may be given several times.
    #[arg(long, value_parser = pair)]
    pub table: Vec<(String, String)>,
    /// Take the events from the source's topic as it is now, and not from its archive. So it is anyway where it has
    /// a topic and no archive.
    #[arg(long)]
    pub log: bool,
    /// How many events are listed, the newest.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// Arguments of `sync`.
#[derive(Debug, Args)]
pub struct Sync {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The batch or SQL view.
    pub view: String,
    /// Wait for a process that does it, even if none runs.
    #[arg(long)]
    pub wait: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, Args)]
pub struct Backfill {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The feature view.
    pub view: String,
    /// The table with the events, in place of the source's archive: a Parquet file, a folder, also in
    /// Hive's layout, or `s3://bucket/prefix`.
    #[arg(long)]
    pub table: Option<String>,
    /// Only events at or after this instant, as RFC 3339: the view is whole from then on.
    #[arg(long)]
    pub from: Option<String>,
    /// Only events before this instant.
    #[arg(long)]
    pub to: Option<String>,
    /// Up to when the table has every event; its newest event's time when absent. An archive of
    /// Tiderace's own knows.
    #[arg(long)]
    pub until: Option<String>,
    /// Since when the table has every event: an instant, or `beginning`. When absent, what the source
    /// declares, else the time of the table's first event.
    #[arg(long)]
    pub complete_since: Option<String>,
    /// Only say what it would take.
    #[arg(long)]
    pub dry_run: bool,
    /// Wait for a process that takes the events in, even if none runs.
    #[arg(long)]
    pub wait: bool,
    /// Memory to work in: a number with a unit of KiB, MiB or GiB. What does not fit goes to files beside `--scratch`.
    #[arg(long, default_value = "512MiB", value_parser = size)]
    pub memory: u64,
    /// Where files go that do not fit in memory; the system's folder for such when absent.
    #[arg(long)]
    pub scratch: Option<PathBuf>,
    /// Threads; one for each core when absent.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Prepare only share `i` of `N` of the entities (from 0), so that N machines can each prepare one. The
    /// last one to end hands the whole over.
    #[arg(long, value_parser = part)]
    pub part: Option<(u64, u64)>,
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values with a header.
    Csv,
}

fn size(text: &str) -> Result<u64, String> {
    tiderace_plan::parse_size(text)
        .ok_or_else(|| format!("`{text}` is not a size, such as `512MiB` or `4GiB`"))
}

fn part(text: &str) -> Result<(u64, u64), String> {
    let part = text.split_once('/').and_then(|(part, of)| {
        let (part, of): (u64, u64) = (part.parse().ok()?, of.parse().ok()?);
        (part < of).then_some((part, of))
    });
    part.ok_or_else(|| format!("`{text}` is not a share, such as `0/4`, `1/4`, `2/4` or `3/4`"))
}

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// Count them by reason, and list the newest.
    #[command(
        after_help = "Examples:\n  tiderace dead-letters list card_payments\n  tiderace dead-letters list card_payments --reason too_late --limit 100 --format json"
    )]
    List(ListLetters),
    /// Show all that is known of one.
    #[command(after_help = "Example:\n  tiderace dead-letters show card_payments 3/18240")]
    Show(ShowLetter),
    /// Send the original bytes again, to the same source or another: they are judged anew.
    #[command(
        after_help = "What was sent again is noted, and left out the next time.\n\nExamples:\n  tiderace dead-letters replay card_payments --reason malformed\n  tiderace dead-letters replay card_payments --reason too_late --into card_payments_late"
    )]
    Replay(ReplayLetters),
}

/// Arguments of `dead-letters list`.
#[derive(Debug, Args)]
pub struct ListLetters {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The source.
    pub source: String,
    /// Only those of this reason; may be given several times.
    #[arg(long)]
    pub reason: Vec<String>,
    /// How many of the newest are listed.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,
    /// How they look.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `dead-letters show`.
#[derive(Debug, Args)]
pub struct ShowLetter {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The source.
    pub source: String,
    /// Where the record was read: partition/offset, as `list` says it.
    #[arg(value_parser = place)]
    pub place: LetterPlace,
    /// How it looks.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// Arguments of `dead-letters replay`.
#[derive(Debug, Args)]
pub struct ReplayLetters {
    /// Which project.
    #[command(flatten)]
    pub project: Project,
    /// The source whose dead letters they are.
    pub source: String,
    /// Which records: partition/offset, as `list` says it.
    #[arg(value_parser = place, required_unless_present_any = ["reason", "all"])]
    pub places: Vec<LetterPlace>,
    /// All of this reason; may be given several times.
    #[arg(long)]
    pub reason: Vec<String>,
    /// All.
    #[arg(long)]
    pub all: bool,
    /// Send them to this source in place of their own, such as one with a longer allowed_lateness.
    #[arg(long)]
    pub into: Option<String>,
    /// Those too that were sent again before. Without an `event_id` they may count twice.
    #[arg(long)]
    pub again: bool,
    /// Only say what would be sent.
    #[arg(long)]
    pub dry_run: bool,
}

fn place(text: &str) -> Result<LetterPlace, String> {
    let place = text.split_once('/').and_then(|(partition, offset)| {
        Some(LetterPlace {
            partition: partition.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    });
    place.ok_or_else(|| format!("`{text}` is not of the form partition/offset, such as 3/18240"))
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// The project's folder.
    #[arg(long, default_value = "features")]
    pub project: PathBuf,
    /// Payments per second.
    #[arg(long, default_value_t = 1000)]
    pub rate: u32,
    /// Stop by itself after so many seconds.
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Keep data here instead of in a folder that goes when the demo ends.
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Which world is made up: the same number, the same customers.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print a line a second instead of drawing on the terminal.
    #[arg(long)]
    pub plain: bool,
}

/// Reads the number of a process, or what a name ends in.
fn process(text: &str) -> Result<u32, String> {
    let number = text.rsplit('-').next().unwrap_or(text);
    number
        .parse()
        .map_err(|_| format!("`{text}` is no number, and does not end in one, as `worker-2` does"))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not of the form name=value")),
    }
}
