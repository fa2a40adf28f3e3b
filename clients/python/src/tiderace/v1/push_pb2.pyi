from tiderace.v1 import lookup_pb2 as _lookup_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_DISK: _ClassVar[Durability]
    DURABILITY_PROCESS: _ClassVar[Durability]

class EventsInAnswer(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENTS_IN_ANSWER_UNSPECIFIED: _ClassVar[EventsInAnswer]
    EVENTS_IN_ANSWER_INCLUDED: _ClassVar[EventsInAnswer]
    EVENTS_IN_ANSWER_EXCLUDED: _ClassVar[EventsInAnswer]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_DISK: Durability
DURABILITY_PROCESS: Durability
EVENTS_IN_ANSWER_UNSPECIFIED: EventsInAnswer
EVENTS_IN_ANSWER_INCLUDED: EventsInAnswer
EVENTS_IN_ANSWER_EXCLUDED: EventsInAnswer

class PushRequest(_message.Message):
    __slots__ = ("source", "payloads", "durability")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PAYLOADS_FIELD_NUMBER: _ClassVar[int]
    DURABILITY_FIELD_NUMBER: _ClassVar[int]
    source: str
    payloads: _containers.RepeatedScalarFieldContainer[bytes]
    durability: Durability
    def __init__(self, source: _Optional[str] = ..., payloads: _Optional[_Iterable[bytes]] = ..., durability: _Optional[_Union[Durability, str]] = ...) -> None: ...

class PushResponse(_message.Message):
    __slots__ = ("first_offset", "count")
    FIRST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    first_offset: int
    count: int
    def __init__(self, first_offset: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class PushAndGetRequest(_message.Message):
    __slots__ = ("push", "get", "events")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    push: PushRequest
    get: _lookup_pb2.GetOnlineFeaturesRequest
    events: EventsInAnswer
    def __init__(self, push: _Optional[_Union[PushRequest, _Mapping]] = ..., get: _Optional[_Union[_lookup_pb2.GetOnlineFeaturesRequest, _Mapping]] = ..., events: _Optional[_Union[EventsInAnswer, str]] = ...) -> None: ...

class PushAndGetResponse(_message.Message):
    __slots__ = ("push", "features", "error", "refused")
    PUSH_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    push: PushResponse
    features: _lookup_pb2.GetOnlineFeaturesResponse
    error: _lookup_pb2.LookupError
    refused: _containers.RepeatedCompositeFieldContainer[RefusedEvent]
    def __init__(self, push: _Optional[_Union[PushResponse, _Mapping]] = ..., features: _Optional[_Union[_lookup_pb2.GetOnlineFeaturesResponse, _Mapping]] = ..., error: _Optional[_Union[_lookup_pb2.LookupError, _Mapping]] = ..., refused: _Optional[_Iterable[_Union[RefusedEvent, _Mapping]]] = ...) -> None: ...

class RefusedEvent(_message.Message):
    __slots__ = ("index", "view", "reason", "message")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    index: int
    view: str
    reason: str
    message: str
    def __init__(self, index: _Optional[int] = ..., view: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...
