from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Durability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DURABILITY_UNSPECIFIED: _ClassVar[Durability]
    DURABILITY_DISK: _ClassVar[Durability]
    DURABILITY_PROCESS: _ClassVar[Durability]
DURABILITY_UNSPECIFIED: Durability
DURABILITY_DISK: Durability
DURABILITY_PROCESS: Durability

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
