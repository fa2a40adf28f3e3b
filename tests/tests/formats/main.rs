//! Every format through the real binary and real Kafka: answers equal what was sent, dead letters
//! are counted exactly, and nothing that a producer writes stops a partition.

mod support;

mod avro;

mod changes;

mod contract;

mod protobuf;

mod real;

mod registry;

mod selection;
