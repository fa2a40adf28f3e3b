from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetCatalogueRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCatalogueResponse(_message.Message):
    __slots__ = ("project", "entities", "sources", "views", "services")
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    project: str
    entities: _containers.RepeatedCompositeFieldContainer[CatalogueEntity]
    sources: _containers.RepeatedCompositeFieldContainer[CatalogueSource]
    views: _containers.RepeatedCompositeFieldContainer[CatalogueView]
    services: _containers.RepeatedCompositeFieldContainer[CatalogueService]
    def __init__(self, project: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[CatalogueEntity, _Mapping]]] = ..., sources: _Optional[_Iterable[_Union[CatalogueSource, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[CatalogueView, _Mapping]]] = ..., services: _Optional[_Iterable[_Union[CatalogueService, _Mapping]]] = ...) -> None: ...

class CatalogueField(_message.Message):
    __slots__ = ("name", "type")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class CatalogueEntity(_message.Message):
    __slots__ = ("name", "keys")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    name: str
    keys: _containers.RepeatedCompositeFieldContainer[CatalogueField]
    def __init__(self, name: _Optional[str] = ..., keys: _Optional[_Iterable[_Union[CatalogueField, _Mapping]]] = ...) -> None: ...

class CatalogueSource(_message.Message):
    __slots__ = ("name", "columns", "event_time", "event_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    columns: _containers.RepeatedCompositeFieldContainer[CatalogueField]
    event_time: str
    event_id: str
    def __init__(self, name: _Optional[str] = ..., columns: _Optional[_Iterable[_Union[CatalogueField, _Mapping]]] = ..., event_time: _Optional[str] = ..., event_id: _Optional[str] = ...) -> None: ...

class CatalogueView(_message.Message):
    __slots__ = ("name", "entity", "source", "features", "fingerprint", "history", "max_age", "description", "owner")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    name: str
    entity: str
    source: str
    features: _containers.RepeatedCompositeFieldContainer[CatalogueFeature]
    fingerprint: str
    history: str
    max_age: str
    description: str
    owner: str
    def __init__(self, name: _Optional[str] = ..., entity: _Optional[str] = ..., source: _Optional[str] = ..., features: _Optional[_Iterable[_Union[CatalogueFeature, _Mapping]]] = ..., fingerprint: _Optional[str] = ..., history: _Optional[str] = ..., max_age: _Optional[str] = ..., description: _Optional[str] = ..., owner: _Optional[str] = ...) -> None: ...

class CatalogueFeature(_message.Message):
    __slots__ = ("name", "type", "window")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    window: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., window: _Optional[str] = ...) -> None: ...

class CatalogueService(_message.Message):
    __slots__ = ("name", "features", "on_demand", "keys", "request_data", "description")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    ON_DEMAND_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DATA_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    name: str
    features: _containers.RepeatedScalarFieldContainer[str]
    on_demand: _containers.RepeatedCompositeFieldContainer[CatalogueField]
    keys: _containers.RepeatedCompositeFieldContainer[CatalogueField]
    request_data: _containers.RepeatedCompositeFieldContainer[CatalogueField]
    description: str
    def __init__(self, name: _Optional[str] = ..., features: _Optional[_Iterable[str]] = ..., on_demand: _Optional[_Iterable[_Union[CatalogueField, _Mapping]]] = ..., keys: _Optional[_Iterable[_Union[CatalogueField, _Mapping]]] = ..., request_data: _Optional[_Iterable[_Union[CatalogueField, _Mapping]]] = ..., description: _Optional[str] = ...) -> None: ...
