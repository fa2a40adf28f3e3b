"""The Python client of Tiderace, a real-time feature store.

`Client` looks features up and pushes events; `AsyncClient` does so for asyncio;
`get_historical_features` makes training sets. Every error is a `TideraceError`.
"""

from tiderace._channel import Certificates, Tls, Token
from tiderace._events import Durability, Event, Pushed, PushedFeatures, RefusedEvent
from tiderace._request import Rows
from tiderace._window import Lookup
from tiderace.aio import AsyncClient
from tiderace.client import Client
from tiderace.errors import (
    DeadlineExceeded,
    HistoryFailed,
    IncompleteFeatures,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    TideraceError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from tiderace.features import (
    Bound,
    Completeness,
    OnlineFeatures,
    Status,
    Value,
    ViewDetails,
)
from tiderace.history import get_historical_features

__all__ = [
    "Client",
    "AsyncClient",
    "get_historical_features",
    "OnlineFeatures",
    "Value",
    "Status",
    "Completeness",
    "Bound",
    "ViewDetails",
    "Durability",
    "Pushed",
    "PushedFeatures",
    "RefusedEvent",
    "Rows",
    "Lookup",
    "Event",
    "Tls",
    "Certificates",
    "Token",
    "TideraceError",
    "InvalidArgument",
    "NotFound",
    "ResourceExhausted",
    "Unavailable",
    "DeadlineExceeded",
    "Unimplemented",
    "Unauthenticated",
    "PermissionDenied",
    "Internal",
    "IncompleteFeatures",
    "HistoryFailed",
]
