//! Looking topics up, and making those that must exist.

use super::config::{Asker, KafkaConfig};
use super::error::{error, kind};
use super::news::News;
use super::reader::signed;
use crate::{Error, Kind};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

/// How long a question about ends may take.
const ENDS_TIMEOUT: Duration = Duration::from_secs(1);

/// Creates `topic` with so many partitions and copies, and settings such as
/// `retention.ms`, unless it exists; then it is left as it is. `replication`
/// below 1 takes the cluster's default.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub fn ensure_topic(
    config: &KafkaConfig,
    topic: &str,
    partitions: u32,
    replication: i32,
    settings: &[(&str, &str)],
) -> Result<(), Error> {
    let what = format!("create topic \"{topic}\"");
    let admin: AdminClient<News> = config
        .admin()
        .create_with_context(News::of(&config.brokers))
        .map_err(|cause| error(&what, &cause))?;
    let partitions = i32::try_from(partitions)
        .map_err(|_| Error::invalid(format!("{what}: {partitions} partitions are too many")))?;
    let copies = if replication < 1 { -1 } else { replication };
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(copies));
    for (name, value) in settings {
        new = new.set(name, value);
    }
    let options = AdminOptions::new()
        .request_timeout(Some(config.request_timeout))
        .operation_timeout(Some(config.request_timeout));
    let results = block_on(admin.create_topics([&new], &options));
    let results = results.map_err(|cause| error(&what, &cause))?;
    for result in results {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(Error::new(kind(code), format!("{what}: {code}"))),
        }
    }
    Ok(())
}

/// How many partitions `topic` has; `None` when there is no such topic.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub fn count_partitions(config: &KafkaConfig, topic: &str) -> Result<Option<u32>, Error> {
    let asker = config.asker()?;
    let what = format!("look up topic \"{topic}\"");
    let metadata = asker.fetch_metadata(Some(topic), config.request_timeout);
    let metadata = metadata.map_err(|cause| error(&what, &cause))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else {
        return Ok(None);
    };
    match found.error().map(Code::from) {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
        Some(code) => Err(error(&what, &KafkaError::MetadataFetch(code))),
        None => Ok(u32::try_from(found.partitions().len()).ok()),
    }
}

/// The partitions of `topic`, in order.
pub fn partitions(asker: &Asker, topic: &str, timeout: Duration) -> Result<Vec<u32>, Error> {
    let what = format!("look up topic \"{topic}\"");
    let metadata = asker.fetch_metadata(Some(topic), timeout);
    let metadata = metadata.map_err(|cause| error(&what, &cause))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(found) = found else {
        return Err(Error::invalid(format!("{what}: unknown topic")));
    };
    if let Some(code) = found.error() {
        return Err(error(&what, &KafkaError::MetadataFetch(code.into())));
    }
    let ids = found.partitions().iter().map(|found| found.id());
    let mut numbers: Vec<u32> = ids.map(i32::unsigned_abs).collect();
    if numbers.is_empty() {
        return Err(Error::invalid(format!("{what}: it has no partitions")));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The offset that the next record of each of these partitions will get: one request to each broker that
/// leads one.
pub fn ends(
    asker: &Asker,
    topic: &str,
    numbers: impl Iterator<Item = u32>,
) -> Result<Vec<(u32, i64)>, Error> {
    let what = format!("ask for the ends of topic \"{topic}\"");
    let mut asked = TopicPartitionList::new();
    for number in numbers {
        // The logical end in place of a timestamp asks for the high watermark itself.
        asked
            .add_partition_offset(topic, signed(number), Offset::End)
            .map_err(|cause| error(&what, &cause))?;
    }
    // Its news of outages comes with the answers; kept unread it would pile up.
    while asker.poll(Duration::ZERO).is_some() {}
    let answered = asker
        .offsets_for_times(asked, ENDS_TIMEOUT)
        .map_err(|cause| error(&what, &cause))?;
    asker.context().answered();
    let mut ends = Vec::new();
    for element in answered.elements() {
        element.error().map_err(|cause| error(&what, &cause))?;
        let Offset::Offset(end) = element.offset() else {
            return Err(Error::new(
                Kind::Retry,
                format!("{what}: no answer for partition {}", element.partition()),
            ));
        };
        ends.push((element.partition().unsigned_abs(), end));
    }
    ends.sort_unstable();
    Ok(ends)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the client's own thread to finish the request.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
