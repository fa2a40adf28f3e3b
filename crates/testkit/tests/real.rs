//! The leashed servers themselves: they come up, remember or forget as told, and end with their guard.

use tiderace_testkit::kafka::{Kafka, wire};
use tiderace_testkit::redis::Redis;

#[test]
fn redis_forgets_when_restarted_and_stands_still_when_paused() {
    let mut redis = Redis::start().expect("redis");
    redis.command(&["SET", "a", "1"]).expect("set");
    assert_eq!(redis.command(&["GET", "a"]).expect("get"), "1");
    redis.pause();
    assert!(redis.command(&["GET", "a"]).is_err());
    redis.resume();
    redis.restart().expect("restart");
    assert_eq!(redis.command(&["GET", "a"]).expect("get"), "");
    redis.command(&["SET", "a", "2"]).expect("set");
    redis.flush().expect("flush");
    assert_eq!(redis.command(&["GET", "a"]).expect("get"), "");
    redis.kill();
    assert!(redis.command(&["PING"]).is_err());
}

#[test]
fn kafka_keeps_its_topics_through_a_kill() {
    let mut kafka = Kafka::start(1).expect("kafka");
    kafka.create_topic("kept", 3).expect("create");
    kafka.kill();
    kafka.restart().expect("restart");
    let port = kafka
        .bootstrap()
        .rsplit(':')
        .next()
        .expect("a port")
        .parse();
    let metadata = wire::metadata(port.expect("a number")).expect("metadata");
    let kept = ("kept".to_owned(), vec![1, 1, 1]);
    assert!(metadata.topics.contains(&kept), "{metadata:?}");
    let again = kafka.create_topic("kept", 3).expect_err("it exists");
    assert!(again.to_string().contains("error 36"), "{again}");
    kafka.stop().expect("stop");
}
