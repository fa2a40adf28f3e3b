import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from tiderace.v1 import value_pb2 as _value_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_PRESENT: _ClassVar[Status]
    STATUS_NULL: _ClassVar[Status]
    STATUS_NOT_FOUND: _ClassVar[Status]
    STATUS_OUTSIDE_MAX_AGE: _ClassVar[Status]
    STATUS_OUTSIDE_HISTORY: _ClassVar[Status]
    STATUS_UNAVAILABLE: _ClassVar[Status]
    STATUS_ERROR: _ClassVar[Status]

class Completeness(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPLETENESS_COMPLETE: _ClassVar[Completeness]
    COMPLETENESS_WARMING: _ClassVar[Completeness]
    COMPLETENESS_STALE: _ClassVar[Completeness]
    COMPLETENESS_APPROXIMATE: _ClassVar[Completeness]
STATUS_UNSPECIFIED: Status
STATUS_PRESENT: Status
STATUS_NULL: Status
STATUS_NOT_FOUND: Status
STATUS_OUTSIDE_MAX_AGE: Status
STATUS_OUTSIDE_HISTORY: Status
STATUS_UNAVAILABLE: Status
STATUS_ERROR: Status
COMPLETENESS_COMPLETE: Completeness
COMPLETENESS_WARMING: Completeness
COMPLETENESS_STALE: Completeness
COMPLETENESS_APPROXIMATE: Completeness

class GetOnlineFeaturesRequest(_message.Message):
    __slots__ = ("feature_service", "features", "entities", "request_data", "as_of", "full_names", "include_metadata", "include_valid_until")
    FEATURE_SERVICE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DATA_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    FULL_NAMES_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    feature_service: str
    features: FeatureList
    entities: _containers.RepeatedCompositeFieldContainer[_value_pb2.Column]
    request_data: _containers.RepeatedCompositeFieldContainer[_value_pb2.Column]
    as_of: _timestamp_pb2.Timestamp
    full_names: bool
    include_metadata: bool
    include_valid_until: bool
    def __init__(self, feature_service: _Optional[str] = ..., features: _Optional[_Union[FeatureList, _Mapping]] = ..., entities: _Optional[_Iterable[_Union[_value_pb2.Column, _Mapping]]] = ..., request_data: _Optional[_Iterable[_Union[_value_pb2.Column, _Mapping]]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., full_names: bool = ..., include_metadata: bool = ..., include_valid_until: bool = ...) -> None: ...

class StreamOnlineFeaturesRequest(_message.Message):
    __slots__ = ("id", "lookup")
    ID_FIELD_NUMBER: _ClassVar[int]
    LOOKUP_FIELD_NUMBER: _ClassVar[int]
    id: int
    lookup: GetOnlineFeaturesRequest
    def __init__(self, id: _Optional[int] = ..., lookup: _Optional[_Union[GetOnlineFeaturesRequest, _Mapping]] = ...) -> None: ...

class StreamOnlineFeaturesResponse(_message.Message):
    __slots__ = ("id", "answer", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: int
    answer: GetOnlineFeaturesResponse
    error: LookupError
    def __init__(self, id: _Optional[int] = ..., answer: _Optional[_Union[GetOnlineFeaturesResponse, _Mapping]] = ..., error: _Optional[_Union[LookupError, _Mapping]] = ...) -> None: ...

class LookupError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class FeatureList(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class GetOnlineFeaturesResponse(_message.Message):
    __slots__ = ("metadata", "rows", "as_of")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    metadata: ResponseMetadata
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    as_of: _timestamp_pb2.Timestamp
    def __init__(self, metadata: _Optional[_Union[ResponseMetadata, _Mapping]] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ResponseMetadata(_message.Message):
    __slots__ = ("feature_names", "fingerprint", "features", "views")
    FEATURE_NAMES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    feature_names: _containers.RepeatedScalarFieldContainer[str]
    fingerprint: str
    features: _containers.RepeatedCompositeFieldContainer[FeatureMetadata]
    views: _containers.RepeatedCompositeFieldContainer[ViewMetadata]
    def __init__(self, feature_names: _Optional[_Iterable[str]] = ..., fingerprint: _Optional[str] = ..., features: _Optional[_Iterable[_Union[FeatureMetadata, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[ViewMetadata, _Mapping]]] = ...) -> None: ...

class FeatureMetadata(_message.Message):
    __slots__ = ("type", "view")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    type: str
    view: str
    def __init__(self, type: _Optional[str] = ..., view: _Optional[str] = ...) -> None: ...

class ViewMetadata(_message.Message):
    __slots__ = ("name", "fingerprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("values", "statuses", "completeness", "views", "messages", "bounds", "ends")
    VALUES_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    COMPLETENESS_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedCompositeFieldContainer[_value_pb2.Value]
    statuses: _containers.RepeatedScalarFieldContainer[Status]
    completeness: _containers.RepeatedScalarFieldContainer[int]
    views: _containers.RepeatedCompositeFieldContainer[ViewDetails]
    messages: _containers.RepeatedCompositeFieldContainer[ValueMessage]
    bounds: _containers.RepeatedCompositeFieldContainer[ValueBound]
    ends: _containers.RepeatedCompositeFieldContainer[ValueEnd]
    def __init__(self, values: _Optional[_Iterable[_Union[_value_pb2.Value, _Mapping]]] = ..., statuses: _Optional[_Iterable[_Union[Status, str]]] = ..., completeness: _Optional[_Iterable[int]] = ..., views: _Optional[_Iterable[_Union[ViewDetails, _Mapping]]] = ..., messages: _Optional[_Iterable[_Union[ValueMessage, _Mapping]]] = ..., bounds: _Optional[_Iterable[_Union[ValueBound, _Mapping]]] = ..., ends: _Optional[_Iterable[_Union[ValueEnd, _Mapping]]] = ...) -> None: ...

class ViewDetails(_message.Message):
    __slots__ = ("view", "warming_since", "lag", "newest_event_time", "fingerprint")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    WARMING_SINCE_FIELD_NUMBER: _ClassVar[int]
    LAG_FIELD_NUMBER: _ClassVar[int]
    NEWEST_EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    view: str
    warming_since: _timestamp_pb2.Timestamp
    lag: _duration_pb2.Duration
    newest_event_time: _timestamp_pb2.Timestamp
    fingerprint: str
    def __init__(self, view: _Optional[str] = ..., warming_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., newest_event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class ValueBound(_message.Message):
    __slots__ = ("index", "relative", "absolute", "least_keys", "confidence", "edges_off")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RELATIVE_FIELD_NUMBER: _ClassVar[int]
    ABSOLUTE_FIELD_NUMBER: _ClassVar[int]
    LEAST_KEYS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    EDGES_OFF_FIELD_NUMBER: _ClassVar[int]
    index: int
    relative: float
    absolute: float
    least_keys: int
    confidence: float
    edges_off: _duration_pb2.Duration
    def __init__(self, index: _Optional[int] = ..., relative: _Optional[float] = ..., absolute: _Optional[float] = ..., least_keys: _Optional[int] = ..., confidence: _Optional[float] = ..., edges_off: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ValueEnd(_message.Message):
    __slots__ = ("index", "valid_until")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    index: int
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, index: _Optional[int] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ValueMessage(_message.Message):
    __slots__ = ("index", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    message: str
    def __init__(self, index: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
