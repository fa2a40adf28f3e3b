//! librdkafka's errors, by what to do about them.

use crate::{Error, Kind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Names what was being done and sorts the cause.
pub fn error(what: &str, cause: &KafkaError) -> Error {
    let kind = match cause {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) => Kind::Invalid,
        KafkaError::MessageConsumptionFatal(_) => Kind::Closed,
        _ => cause.rdkafka_error_code().map_or(Kind::Bug, kind),
    };
    Error::new(kind, format!("{what}: {}", text(cause)))
}

/// What to do about a code. What is not known to be final is worth another try.
pub fn kind(code: Code) -> Kind {
    match code {
        Code::OffsetOutOfRange
        | Code::AutoOffsetReset
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::InvalidArgument
        | Code::PolicyViolation
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::SaslAuthenticationFailed
        | Code::Authentication
        | Code::SSL
        | Code::MessageSizeTooLarge
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature => Kind::Invalid,
        Code::BadMessage | Code::InvalidMessage | Code::BadCompression => Kind::Corrupt,
        Code::Fatal => Kind::Closed,
        // `UnknownPartition` among them: the client says it of its own while it has lost what it knew of the
        // brokers. A broker says `UnknownTopicOrPartition`.
        _ => Kind::Retry,
    }
}

/// The cause without the client's own words around it.
fn text(cause: &KafkaError) -> String {
    match (cause, cause.rdkafka_error_code()) {
        // Its own form has the value too, which may be a password.
        (KafkaError::ClientConfig(_, what, property, _), _) => format!("`{property}`: {what}"),
        (_, Some(code)) => code.to_string(),
        (_, None) => cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_client_believes_is_tried_again() {
        assert_eq!(kind(Code::UnknownPartition), Kind::Retry);
        assert_eq!(kind(Code::UnknownTopicOrPartition), Kind::Invalid);
    }
}
