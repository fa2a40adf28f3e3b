//! Kafka's side: against librdkafka's own mock brokers, and against real ones where they are at hand.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tiderace_source::{
    DeadLetters, KafkaConfig, KafkaDeadLetters, KafkaProducer, Kind, Limit, OnLoss, Producer,
    Reader, ensure_topic,
};
use tiderace_testkit::kafka::Kafka;
use tiderace_types::{
    DeadLetter, Partition, Reason, RecordBatch, RecordMeta, Share, SourceId, Timestamp,
};

mod common;
use common::payload;

const SOURCE: SourceId = SourceId(5);
const PATIENCE: Duration = Duration::from_secs(30);
const ALL: Limit = Limit {
    records: usize::MAX,
    bytes: usize::MAX,
};

enum Cluster {
    Mock(MockCluster<'static, DefaultProducerContext>),
    Real(Kafka),
}

impl Cluster {
    fn mock() -> Cluster {
        Cluster::Mock(MockCluster::new(3).expect("mock brokers"))
    }

    /// A real broker, unless its jars are not on this machine.
    fn real() -> Option<Cluster> {
        match Kafka::start(1) {
            Ok(kafka) => Some(Cluster::Real(kafka)),
            Err(error) => {
                eprintln!("SKIPPED, no real Kafka here: {error:#}");
                None
            }
        }
    }

    fn config(&self) -> KafkaConfig {
        KafkaConfig::new(match self {
            Cluster::Mock(mock) => mock.bootstrap_servers(),
            Cluster::Real(kafka) => kafka.bootstrap(),
        })
    }

    fn create_topic(&self, name: &str, partitions: u32) {
        match self {
            Cluster::Mock(mock) => mock
                .create_topic(name, partitions.cast_signed(), 3)
                .expect("a topic"),
            Cluster::Real(_) => {
                let settings = [("max.message.bytes", "2000000")];
                for _ in 0..2 {
                    ensure_topic(&self.config(), name, partitions, 1, &settings).expect("a topic");
                }
            }
        }
    }
}

/// Everything that must hold on any cluster.
fn conformance(cluster: &Cluster) {
    let config = cluster.config();
    unknown_topics_are_refused(&config);
    cluster.create_topic("events", 4);
    let sent = keys_keep_their_order(&config);
    reading_resumes_at_any_offset(&config, &sent);
    wrong_starts_are_refused(&config, &sent);
    new_records_arrive_at_once(&config);
    cluster.create_topic("nulls", 1);
    tombstones_are_empty(&config);
    cluster.create_topic("dead", 1);
    dead_letters_tell_their_story(&config);
}

fn unknown_topics_are_refused(config: &KafkaConfig) {
    if config.brokers.split(',').count() > 1 {
        // The mock makes every topic that is asked for.
        return;
    }
    let error = Reader::kafka(config, "absent", SOURCE, &[]).expect_err("unknown");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("topic \"absent\""), "{error}");
    // A producer's question must not make the topic either.
    for _ in 0..3 {
        let error = KafkaProducer::open(config, "absent").expect_err("unknown");
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
    }
}

/// Sends records under 10 keys; returns the payloads of each partition.
fn keys_keep_their_order(config: &KafkaConfig) -> BTreeMap<u32, Vec<Vec<u8>>> {
    let mut producer = KafkaProducer::open(config, "events")
        .map(Producer::Kafka)
        .expect("open");
    for number in 0..400 {
        let key = format!("key {}", number % 10);
        let time = Timestamp(i64::from(number + 1) * 1_000_000);
        producer
            .send(key.as_bytes(), &payload(number), time)
            .expect("send");
    }
    producer.flush().expect("flush");
    let mut reader = Reader::kafka(config, "events", SOURCE, &[]).expect("open");
    assert_eq!(reader.partitions().expect("partitions"), [0, 1, 2, 3]);
    let batch = read(&mut reader, 400);
    let mut sent: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    let mut places: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for (index, meta) in batch.metas.iter().enumerate() {
        assert_eq!(meta.partition.source, SOURCE);
        let partition = sent.entry(meta.partition.number).or_default();
        assert_eq!(meta.offset, partition.len() as i64);
        partition.push(batch.payload(index).to_vec());
        let number = number_of(batch.payload(index));
        assert_eq!(
            meta.broker_time,
            Timestamp(i64::from(number + 1) * 1_000_000)
        );
        let (home, last) = places
            .entry(number % 10)
            .or_insert((meta.partition.number, number));
        assert_eq!(*home, meta.partition.number, "a key has one partition");
        assert!(*last <= number, "a key keeps its order");
        *last = number;
    }
    assert!(sent.len() > 1);
    let ends: Vec<(u32, i64)> = (0..4)
        .map(|number| (number, sent.get(&number).map_or(0, Vec::len) as i64))
        .collect();
    assert_eq!(reader.ends().expect("ends"), ends);
    sent
}

fn number_of(payload: &[u8]) -> u32 {
    let value: serde_json::Value = serde_json::from_slice(payload).expect("json");
    u32::try_from(value["n"].as_u64().expect("a number")).expect("small")
}

fn reading_resumes_at_any_offset(config: &KafkaConfig, sent: &BTreeMap<u32, Vec<Vec<u8>>>) {
    for step in [0, 1, 17, 39, usize::MAX] {
        let start: Vec<(u32, i64)> = sent
            .iter()
            .map(|(&number, payloads)| (number, payloads.len().min(step) as i64))
            .collect();
        let mut reader = Reader::kafka(config, "events", SOURCE, &start).expect("open");
        let left = sent
            .values()
            .map(|payloads| payloads.len().saturating_sub(step))
            .sum();
        let batch = read(&mut reader, left);
        let mut next: BTreeMap<u32, i64> = start.into_iter().collect();
        for (index, meta) in batch.metas.iter().enumerate() {
            let next = next.get_mut(&meta.partition.number).expect("a partition");
            assert_eq!(meta.offset, *next);
            let expect = &sent[&meta.partition.number][usize::try_from(*next).expect("an offset")];
            assert_eq!(batch.payload(index), expect);
            *next += 1;
        }
    }
}

fn wrong_starts_are_refused(config: &KafkaConfig, sent: &BTreeMap<u32, Vec<Vec<u8>>>) {
    let (&number, payloads) = sent.iter().next().expect("a partition");
    let end = payloads.len() as i64;
    for (start, says) in [
        (
            (number, end + 1),
            format!("offset {} is past the end {end}", end + 1),
        ),
        (
            (number, -1),
            "offset -1 is gone: the first one held is 0".to_owned(),
        ),
        ((4, 0), "no partition 4".to_owned()),
    ] {
        let error = Reader::kafka(config, "events", SOURCE, &[start]).expect_err("wrong");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(&says), "{error}");
    }
}

fn new_records_arrive_at_once(config: &KafkaConfig) {
    let mut reader = Reader::kafka(config, "events", SOURCE, &[]).expect("open");
    let mut producer = KafkaProducer::open(config, "events")
        .map(Producer::Kafka)
        .expect("open");
    read(&mut reader, 400);
    let before: i64 = reader.ends().expect("ends").iter().map(|end| end.1).sum();
    for number in 0..5 {
        let begun = Instant::now();
        producer
            .send(b"k", &payload(number), Timestamp(0))
            .expect("send");
        producer.flush().expect("flush");
        let flushed = begun.elapsed();
        let mut batch = RecordBatch::default();
        reader.poll(&mut batch, ALL, PATIENCE).expect("poll");
        let polled = begun.elapsed();
        assert_eq!(batch.payload(0), payload(number));
        let after: i64 = reader.ends().expect("ends").iter().map(|end| end.1).sum();
        assert_eq!(after, before + i64::from(number) + 1, "ends are fresh");
        let asked = begun.elapsed();
        eprintln!("sent in {flushed:?}, polled at {polled:?}, ends known at {asked:?}");
    }
    let mut batch = RecordBatch::default();
    let limit = Limit { records: 0, ..ALL };
    reader
        .poll(&mut batch, limit, PATIENCE)
        .expect("no room, no wait");
    assert!(batch.is_empty());
}

fn tombstones_are_empty(config: &KafkaConfig) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .create()
        .expect("a producer");
    for payload in [Some("x"), None, Some("y")] {
        let mut record = BaseRecord::<str, str>::to("nulls").key("k").partition(0);
        record.payload = payload;
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("send");
    }
    producer.flush(PATIENCE).expect("flush");
    let mut reader = Reader::kafka(config, "nulls", SOURCE, &[]).expect("open");
    let batch = read(&mut reader, 3);
    assert_eq!(
        (batch.bytes.as_slice(), batch.ends.as_slice()),
        (&b"xy"[..], &[1, 1, 2][..])
    );
}

fn letter(offset: i64) -> DeadLetter {
    DeadLetter {
        reason: Reason::WrongType,
        detail: format!("letter {offset}"),
        meta: RecordMeta {
            partition: Partition {
                source: SOURCE,
                number: 2,
            },
            offset,
            broker_time: Timestamp(0),
        },
        payload: vec![0xff, offset.to_le_bytes()[0]],
    }
}

fn dead_letters_tell_their_story(config: &KafkaConfig) {
    let mut out = KafkaDeadLetters::open(config, "dead")
        .map(DeadLetters::Kafka)
        .expect("open");
    out.write("events", &[]).expect("nothing");
    out.write("events", &[letter(1), letter(2)]).expect("write");
    out.write("events", &[letter(3)]).expect("write");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", "test")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("dead", 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&list).expect("assign");
    for offset in 1..=3 {
        let message = consumer
            .poll(PATIENCE)
            .expect("a letter")
            .expect("a letter");
        assert_eq!(message.payload(), Some(&[0xff, offset][..]));
        let headers = message.headers().expect("headers");
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|header| {
                let value = header.value.expect("a value");
                (header.key, str::from_utf8(value).expect("text"))
            })
            .collect();
        assert_eq!(
            headers,
            [
                ("tiderace.reason", "wrong_type"),
                ("tiderace.detail", format!("letter {offset}").as_str()),
                ("tiderace.topic", "events"),
                ("tiderace.partition", "2"),
                ("tiderace.offset", offset.to_string().as_str()),
                ("tiderace.broker_time", "1970-01-01T00:00:00Z"),
            ]
        );
    }
}

/// Polls until `count` records are there, and checks that no more are at hand.
fn read(reader: &mut Reader, count: usize) -> RecordBatch {
    let mut batch = RecordBatch::default();
    let deadline = Instant::now() + PATIENCE;
    while batch.len() < count {
        assert!(
            Instant::now() < deadline,
            "{} of {count} records",
            batch.len()
        );
        match reader.poll(&mut batch, ALL, Duration::from_secs(1)) {
            Ok(()) => {}
            Err(error) => assert_eq!(error.kind(), Kind::Retry, "{error}"),
        }
    }
    reader
        .poll(&mut batch, ALL, Duration::from_millis(20))
        .expect("poll");
    assert_eq!(batch.len(), count);
    batch
}

#[test]
fn mock_brokers() {
    conformance(&Cluster::mock());
}

#[test]
fn an_outage_is_told_and_survived() {
    let Cluster::Mock(mock) = Cluster::mock() else {
        unreachable!("a mock is a mock");
    };
    mock.create_topic("events", 2, 3).expect("a topic");
    let mut config = KafkaConfig::new(mock.bootstrap_servers());
    config.request_timeout = Duration::from_secs(2);
    let mut producer = KafkaProducer::open(&config, "events")
        .map(Producer::Kafka)
        .expect("open");
    let mut send = |number| {
        producer
            .send(b"k", &payload(number), Timestamp(0))
            .expect("send");
        producer.flush().expect("flush");
    };
    let mut reader = Reader::kafka(&config, "events", SOURCE, &[]).expect("open");
    send(0);
    read(&mut reader, 1);
    for broker in 1..=3 {
        mock.broker_down(broker).expect("down");
    }
    let error = reader.ends().expect_err("no ends without brokers");
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    assert!(error.to_string().contains("topic \"events\""), "{error}");
    let mut batch = RecordBatch::default();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline, "the outage is told");
        if let Err(error) = reader.poll(&mut batch, ALL, Duration::from_millis(100)) {
            break error;
        }
    };
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    for broker in 1..=3 {
        mock.broker_up(broker).expect("up");
    }
    send(1);
    let batch = read(&mut reader, 1);
    assert_eq!(batch.payload(0), payload(1));
}

#[test]
fn brokers_that_are_not_there_are_a_reason_to_retry() {
    let mut config = KafkaConfig::new("127.0.0.1:1");
    config.request_timeout = Duration::from_millis(300);
    let error = Reader::kafka(&config, "events", SOURCE, &[]).expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Retry, "{error}");
    config
        .properties
        .insert("no.such.property".to_owned(), "1".to_owned());
    let error = Reader::kafka(&config, "events", SOURCE, &[]).expect_err("a wrong property");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("no.such.property"), "{error}");
}

#[test]
fn real_brokers() {
    let Some(cluster) = Cluster::real() else {
        return;
    };
    conformance(&cluster);
    let config = cluster.config();
    new_partitions_are_found(&config);
    expired_offsets_are_an_error(&config);
    large_records_are_refused(&config);
    large_letters_are_cut(&config);
}

fn new_partitions_are_found(config: &KafkaConfig) {
    ensure_topic(config, "grows", 1, 1, &[]).expect("a topic");
    let mut reader = Reader::kafka(config, "grows", SOURCE, &[]).expect("open");
    assert_eq!(reader.partitions().expect("partitions"), [0]);
    let admin = admin(config);
    let (more, options) = ([NewPartitions::new("grows", 3)], AdminOptions::new());
    let grown = admin.create_partitions(&more, &options);
    block_on(grown).expect("an answer")[0]
        .as_ref()
        .expect("grown");
    let deadline = Instant::now() + PATIENCE;
    while reader.partitions().expect("partitions").len() < 3 {
        assert!(Instant::now() < deadline, "new partitions are found");
    }
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .create()
        .expect("a producer");
    for partition in 0..3 {
        let record = BaseRecord::<(), str>::to("grows")
            .payload("x")
            .partition(partition);
        producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("send");
    }
    producer.flush(PATIENCE).expect("flush");
    let batch = read(&mut reader, 3);
    let mut partitions: Vec<u32> = batch
        .metas
        .iter()
        .map(|meta| meta.partition.number)
        .collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [0, 1, 2]);
    assert_eq!(reader.ends().expect("ends"), [(0, 1), (1, 1), (2, 1)]);
}

fn expired_offsets_are_an_error(config: &KafkaConfig) {
    let mut reader = Reader::kafka(config, "events", SOURCE, &[]).expect("open");
    let ends = reader.ends().expect("ends");
    let all: i64 = ends.iter().map(|end| end.1).sum();
    let batch = read(&mut reader, usize::try_from(all).expect("a count"));
    reader.mark(&batch);
    let trail = reader.trail().expect("a topic has one").clone();
    let (number, end) = ends
        .into_iter()
        .max_by_key(|end| end.1)
        .expect("a partition");
    let mut before = TopicPartitionList::new();
    let offset = Offset::Offset(end - 1);
    before
        .add_partition_offset("events", number.cast_signed(), offset)
        .expect("an offset");
    block_on(admin(config).delete_records(&before, &AdminOptions::new())).expect("deleted");
    let error = Reader::kafka(config, "events", SOURCE, &[(number, 3)]).expect_err("expired");
    assert_eq!(error.kind(), Kind::Invalid);
    let says = format!(
        "topic \"events\" partition {number}: offset 3 is gone: the first one held is {}, so {} records are missing",
        end - 1,
        end - 4
    );
    assert_eq!(error.to_string(), says);
    // What is remembered of later records, which are still there, does not make up for it.
    let start = [(number, 3)];
    let resumed = Reader::resume(
        config,
        "events",
        SOURCE,
        &start,
        trail,
        OnLoss::Stop,
        Share::ALL,
    );
    assert_eq!(resumed.expect_err("expired").to_string(), says);
    // Without a start the first offset that is held is the beginning.
    Reader::kafka(config, "events", SOURCE, &[]).expect("open");
}

fn large_records_are_refused(config: &KafkaConfig) {
    let mut config = config.clone();
    config
        .properties
        .insert("compression.type".to_owned(), "none".to_owned());
    let mut producer = KafkaProducer::open(&config, "events")
        .map(Producer::Kafka)
        .expect("open");
    let large = vec![b'x'; 3_000_000];
    producer.send(b"k", &large, Timestamp(0)).expect("queued");
    let error = producer.flush().expect_err("too large for the topic");
    assert_eq!(error.kind(), Kind::Invalid, "{error}");
    assert!(error.to_string().contains("topic \"events\""), "{error}");
}

/// A letter too large for the topic is cut; the others and the writer are as before.
fn large_letters_are_cut(config: &KafkaConfig) {
    let mut config = config.clone();
    config
        .properties
        .insert("compression.type".to_owned(), "none".to_owned());
    ensure_topic(&config, "large", 1, 1, &[]).expect("a topic");
    let mut out = KafkaDeadLetters::open(&config, "large")
        .map(DeadLetters::Kafka)
        .expect("open");
    let letter = |offset, length| DeadLetter {
        payload: vec![b'x'; length],
        ..letter(offset)
    };
    out.write(
        "events",
        &[letter(1, 10), letter(2, 3_000_000), letter(3, 30)],
    )
    .expect("write");
    out.write("events", &[letter(4, 40)]).expect("write");
    let mut reader = Reader::kafka(&config, "large", SOURCE, &[]).expect("open");
    let mut lengths = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while lengths.last() != Some(&40) {
        assert!(Instant::now() < deadline, "{lengths:?}");
        let mut batch = RecordBatch::default();
        reader.poll(&mut batch, ALL, PATIENCE).expect("poll");
        lengths.extend((0..batch.len()).map(|index| batch.payload(index).len()));
    }
    for length in [10, 64 << 10, 30] {
        assert!(lengths.contains(&length), "{lengths:?}");
    }
}

fn admin(config: &KafkaConfig) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", &config.brokers)
        .create()
        .expect("an admin client")
}

/// The admin's own thread finishes the request.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        std::thread::yield_now();
    }
}
