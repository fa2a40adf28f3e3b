//! The steps that make something durable.

/// Where a place lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The step has not begun.
    Before,
    /// The step is done, and nobody has been told.
    After,
}

macro_rules! steps {
    ($($(#[doc = $doc:literal])* $step:ident = $name:literal,)*) => {
        /// A step that makes something durable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step {
            $($(#[doc = $doc])* $step,)*
        }

        impl Step {
            /// All of them.
            pub const ALL: [Step; [$(Step::$step),*].len()] = [$(Step::$step),*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Step::$step => $name,)*
                }
            }
        }
    };
}

steps! {
    /// A new segment of the embedded log, with its name in the folder.
    LogCreate = "log.create",
    /// Frames at the end of the embedded log.
    LogAppend = "log.append",
    /// The sync of the embedded log that acknowledges.
    LogSync = "log.sync",
    /// The note of how far the embedded log was synced.
    LogNote = "log.note",
    /// The cut of a torn end of the embedded log.
    LogCut = "log.cut",
    /// Dead letters in a file.
    LettersFile = "letters.file",
    /// Dead letters in a Kafka topic.
    LettersKafka = "letters.kafka",
    /// Feature values in a Kafka topic.
    OutputKafka = "output.kafka",
    /// Pushed records in a Kafka topic.
    KafkaPush = "kafka.push",
    /// State's database, opened or made.
    StateOpen = "state.open",
    /// The epoch of an opening.
    StateEpoch = "state.epoch",
    /// Rows, positions and outbox (what is owed, and what is paid) of a slice.
    StateCommit = "state.commit",
    /// Positions for a new cut of the lanes.
    StatePositions = "state.positions",
    /// What is owed to the online store, refiled for a new cut of the lanes.
    StateRefile = "state.refile",
    /// A view's generation and coverage.
    StateView = "state.view",
    /// The clock that a sweep goes by.
    StateClock = "state.clock",
    /// The version of the marker that a lane wrote last, and up to when values were sent.
    StateMarker = "state.marker",
    /// The blocks that a sweep takes away.
    StateSweep = "state.sweep",
    /// The identities of events that a flush of an archive is about to make archived.
    StateArchived = "state.archived",
    /// The removal of identities that are void, or not needed any more.
    StateForgotten = "state.forgotten",
    /// The sync of all of state at an end in good order.
    StateSync = "state.sync",
    /// A file of an archive, where no reader looks yet.
    ArchiveStage = "archive.stage",
    /// The manifest that makes files a part of an archive.
    ArchiveManifest = "archive.manifest",
    /// The name in the table of a file that is archived.
    ArchivePublish = "archive.publish",
    /// The exchange of a date's folder for one with other files.
    ArchiveSwap = "archive.swap",
    /// The removal of files that are no part of an archive any more.
    ArchiveClean = "archive.clean",
    /// A file of a prepared past.
    BackfillFile = "backfill.file",
    /// What says that a prepared past is whole.
    BackfillManifest = "backfill.manifest",
    /// The request that a prepared past be taken in.
    BackfillRequest = "backfill.request",
    /// That a prepared past is being taken in, or has been.
    BackfillState = "backfill.state",
    /// That a table is being synced, or has been.
    BatchState = "batch.state",
    /// Who is in a snapshot of a table.
    BatchMembers = "batch.members",
    /// Definitions that are applied.
    DeployBundle = "deploy.bundle",
    /// What was applied last.
    DeployJournal = "deploy.journal",
    /// What a process makes of what was applied.
    DeployAnswer = "deploy.answer",
    /// Records of a shared source, on their way to the processes that need them.
    ShareSend = "share.send",
    /// How far a shared source was sent.
    ShareNote = "share.note",
    /// The embedded online store, opened or made.
    OnlineOpen = "online.open",
    /// Published rows.
    OnlineRows = "online.rows",
    /// A lane's marker.
    OnlineMarker = "online.marker",
    /// The removal of markers of other cuts.
    OnlineRetire = "online.retire",
}
