//! How a source's records are written: the encoding, where its schemas come from, what frames a record.

use crate::at::{At, TextOr};
use crate::model::{Encoding, Format, Framing};
use crate::report::Report;
use crate::source::Kafka;
use crate::text::Place;
use crate::{Code, raw};

/// Checks the format; `None` when something in it is wrong.
pub(crate) fn check(report: &Report, raw: &raw::Source, kafka: Kafka) -> Option<Format> {
    let Some(at) = &raw.stream else {
        return Some(Format::JSON);
    };
    let TextOr::Mapping(stream) = at.value.as_ref()? else {
        return Some(Format::JSON);
    };
    let before = report.count();
    let encoding = match &stream.format {
        None => Encoding::Json,
        Some(at) => encoding(at.value?),
    };
    let name = encoding.name();
    let place = stream.format.as_ref().map_or(at.place, |at| at.place);
    if encoding != Encoding::Json && stream.kafka.is_none() {
        report.error_help(
            place,
            Code::Value,
            format!("the embedded log holds no {name}"),
            "what is pushed is JSON; read other formats from Kafka",
        );
    }
    let schema = file(report, stream, encoding);
    let framing = framing(report, stream, encoding, kafka, place);
    if let Some(at) = &stream.message
        && encoding != Encoding::Protobuf
    {
        report.error(
            at.place,
            Code::Value,
            format!("{name} has no `message`: only Protobuf has"),
        );
    }
    if let (Some(at), Some(Framing::Bare)) = (&stream.subject, framing) {
        report.error_help(
            at.place,
            Code::Value,
            format!("these {name} records have no schema in a registry"),
            "leave `subject` out",
        );
    }
    (report.count() == before).then_some(Format {
        encoding,
        framing: framing?,
        schema: schema?,
        message: stream.message.as_ref().and_then(|at| at.value.clone()),
        subject: stream.subject.as_ref().and_then(|at| at.value.clone()),
    })
}

/// Where the format is said, or the source's name where it is not.
pub(crate) fn place(raw: &raw::Source) -> Place {
    let stream = raw.stream.as_ref().and_then(|at| at.value.as_ref());
    let Some(TextOr::Mapping(stream)) = stream else {
        return raw.name.place;
    };
    let schema = stream.schema.as_ref().map(|at| at.place);
    let format = stream.format.as_ref().map(|at| at.place);
    schema.or(format).unwrap_or(raw.name.place)
}

fn encoding(raw: raw::Format) -> Encoding {
    match raw {
        raw::Format::Json => Encoding::Json,
        raw::Format::Avro => Encoding::Avro,
        raw::Format::Protobuf => Encoding::Protobuf,
        raw::Format::DebeziumJson => Encoding::DebeziumJson,
        raw::Format::DebeziumAvro => Encoding::DebeziumAvro,
    }
}

/// The schema's file, within the project.
fn file(report: &Report, stream: &raw::Stream, encoding: Encoding) -> Option<Option<String>> {
    let Some(at) = &stream.schema else {
        return Some(None);
    };
    let (text, place) = at.text()?;
    let expected = match encoding {
        Encoding::Avro | Encoding::DebeziumAvro => ".avsc",
        Encoding::Protobuf => ".proto",
        Encoding::Json | Encoding::DebeziumJson => {
            report.error_help(
                place,
                Code::Value,
                format!("{} is read without a schema", encoding.name()),
                "the columns say what it holds",
            );
            return None;
        }
    };
    let outside = text.starts_with('/') || text.split('/').any(|part| part == "..");
    if outside || !text.ends_with(expected) {
        report.error_help(
            place,
            Code::Value,
            format!("`{text}` is not a schema file of the project"),
            format!(
                "expected the path of a `{expected}` file, relative to the folder of tiderace.yaml"
            ),
        );
        return None;
    }
    Some(Some(text.to_owned()))
}

/// What frames a record, and whether there is a schema to read it by.
fn framing(
    report: &Report,
    stream: &raw::Stream,
    encoding: Encoding,
    kafka: Kafka,
    place: Place,
) -> Option<Framing> {
    let name = encoding.name();
    let said = match &stream.framing {
        None => None,
        Some(At { value, place }) => Some((*value.as_ref()?, *place)),
    };
    if !encoding.has_schema() {
        // A serializer of JSON may put its schema's number before the record, which is passed over.
        return Some(match said {
            Some((raw::Framing::Confluent, _)) => Framing::Confluent,
            _ => Framing::Bare,
        });
    }
    let framing = match (said, &stream.schema) {
        (Some((raw::Framing::Confluent, _)), _) | (None, None) => Framing::Confluent,
        (Some((raw::Framing::Bare, _)), _) | (None, Some(_)) => Framing::Bare,
    };
    let place = said.map_or(place, |(_, place)| place);
    if framing == Framing::Bare && stream.schema.is_none() {
        report.error_help(
            place,
            Code::Shape,
            format!("bare {name} says nothing of its schema"),
            "name its file: `schema: schemas/payment.avsc`",
        );
    }
    // Where Kafka itself is missing, that is said already.
    let registry_is_missing = kafka == Kafka::There { registry: false };
    if framing == Framing::Confluent && registry_is_missing {
        let (message, help) = match stream.schema {
            None => (
                format!("there is no schema to read {name} by"),
                "name a file, `schema: schemas/payment.avsc`, or add `schema_registry: { url: … }` to the project's `kafka`",
            ),
            Some(_) => (
                "records with confluent framing name their schema by its number in a registry"
                    .to_owned(),
                "add `schema_registry: { url: … }` to the project's `kafka`",
            ),
        };
        report.error_help(place, Code::Unknown, message, help);
    }
    Some(framing)
}
