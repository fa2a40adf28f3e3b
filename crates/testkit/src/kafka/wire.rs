//! The two requests of Kafka's protocol that tests need: metadata, and the making of a topic.
//!
//! Both in the last version before flexible encoding: big-endian numbers, strings and
//! arrays after their length.

use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// What a broker knows of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// How many brokers are registered.
    pub brokers: usize,
    /// For each topic its name and the leader of each partition (−1: none).
    pub topics: Vec<(String, Vec<i32>)>,
}

/// Asks the broker at `port` for the metadata of all topics.
///
/// # Errors
/// When it does not answer, or answers otherwise than this reads it.
pub fn metadata(port: u16) -> Result<Metadata> {
    let mut body = Vec::new();
    body.extend((-1i32).to_be_bytes()); // all topics
    body.push(0); // do not create any
    let answer = call(port, 3, 4, &body)?;
    let mut read = Reading(&answer);
    read.i32()?; // throttle time
    let brokers = read.list(|read| {
        read.i32()?;
        read.string()?;
        read.i32()?;
        read.string().map(drop)
    })?;
    read.string()?; // cluster id
    read.i32()?; // controller
    let topics = read.list(|read| {
        read.i16()?;
        let name = read.string()?;
        read.take(1)?;
        let leaders = read.list(|read| {
            read.i16()?;
            read.i32()?;
            let leader = read.i32()?;
            read.list(Reading::i32)?;
            read.list(Reading::i32)?;
            Ok(leader)
        })?;
        Ok((name, leaders))
    })?;
    Ok(Metadata {
        brokers: brokers.len(),
        topics,
    })
}

/// Asks the broker at `port` to make a topic.
///
/// # Errors
/// When it refuses; with its message.
pub fn create_topic(
    port: u16,
    name: &str,
    partitions: u32,
    replicas: u16,
    settings: &[(&str, &str)],
) -> Result<()> {
    let mut body = Vec::new();
    body.extend(1i32.to_be_bytes());
    put_string(name, &mut body);
    body.extend(partitions.to_be_bytes());
    body.extend(replicas.to_be_bytes());
    body.extend(0i32.to_be_bytes()); // the brokers choose where
    body.extend(u32::try_from(settings.len())?.to_be_bytes());
    for (key, value) in settings {
        put_string(key, &mut body);
        put_string(value, &mut body);
    }
    body.extend(10_000i32.to_be_bytes()); // milliseconds it may take
    body.push(0); // not only a rehearsal
    let answer = call(port, 19, 4, &body)?;
    let mut read = Reading(&answer);
    read.i32()?; // throttle time
    let refusals = read.list(|read| {
        read.string()?;
        let code = read.i16()?;
        Ok((code, read.string()?))
    })?;
    match refusals.as_slice() {
        [(0, _)] => Ok(()),
        [(code, message)] => bail!("topic {name:?} refused with error {code}: {message}"),
        _ => bail!("topic {name:?}: {} answers for one topic", refusals.len()),
    }
}

fn call(port: u16, request: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    const CORRELATION: i32 = 7;
    let mut message = Vec::new();
    message.extend(request.to_be_bytes());
    message.extend(version.to_be_bytes());
    message.extend(CORRELATION.to_be_bytes());
    put_string("testkit", &mut message);
    message.extend(body);

    let address = ([127, 0, 0, 1], port).into();
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(&u32::try_from(message.len())?.to_be_bytes())?;
    stream.write_all(&message)?;

    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer)?;
    ensure!(
        answer.starts_with(&CORRELATION.to_be_bytes()),
        "an answer to another request"
    );
    Ok(answer.split_off(4))
}

fn put_string(text: &str, out: &mut Vec<u8>) {
    let length = i16::try_from(text.len()).expect("names in tests are short");
    out.extend(length.to_be_bytes());
    out.extend(text.as_bytes());
}

struct Reading<'a>(&'a [u8]);

impl Reading<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("answer is cut")?;
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    /// Reads a string; none at all reads as empty.
    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        (0..self.i32()?).map(|_| item(self)).collect()
    }
}
