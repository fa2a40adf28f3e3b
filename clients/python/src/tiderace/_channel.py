"""The connection: where it goes, by which rules, and the calls that it carries."""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Generic, TypeVar

import grpc
from google.protobuf.message import Message

from tiderace.errors import InvalidArgument
from tiderace.v1 import catalogue_pb2, feature_store_pb2, lookup_pb2, push_pb2

FilePath = str | PathLike[str]


@dataclass(frozen=True)
class Certificates:
    """PEM files: by which authorities a server is believed, and what is shown to one that asks who calls."""

    ca: FilePath | None = None
    """The authorities; the system's, if none are given."""
    cert: FilePath | None = None
    """The client's certificate."""
    key: FilePath | None = None
    """Its private key."""


Tls = bool | FilePath | Certificates | None
"""`None`: none. `True`: the system's authorities. A path: the authorities in this PEM file."""

Token = str | Callable[[], str] | None
"""A token; or what gives the one that is valid now, asked before every call."""

OPTIONS: list[tuple[str, int]] = [
    # A server that was restarted is found again within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # The server bounds what it answers; nothing is cut off here.
    ("grpc.max_receive_message_length", -1),
]

Asked = TypeVar("Asked", bound=Message)
Answered = TypeVar("Answered", bound=Message)


@dataclass(frozen=True)
class Method(Generic[Asked, Answered]):
    """One method of the service, with its messages."""

    name: str
    asked: type[Asked]
    answered: type[Answered]

    @property
    def path(self) -> str:
        """What it is called on the wire, as `proto/` names it."""
        service = feature_store_pb2.DESCRIPTOR.services_by_name["FeatureStore"]
        return f"/{service.full_name}/{service.methods_by_name[self.name].name}"


LOOKUP = Method(
    "GetOnlineFeatures", lookup_pb2.GetOnlineFeaturesRequest, lookup_pb2.GetOnlineFeaturesResponse
)
STREAM = Method(
    "StreamOnlineFeatures",
    lookup_pb2.StreamOnlineFeaturesRequest,
    lookup_pb2.StreamOnlineFeaturesResponse,
)
PUSH = Method("Push", push_pb2.PushRequest, push_pb2.PushResponse)
PUSH_AND_GET = Method("PushAndGet", push_pb2.PushAndGetRequest, push_pb2.PushAndGetResponse)
CATALOGUE = Method("GetCatalogue", catalogue_pb2.GetCatalogueRequest, catalogue_pb2.GetCatalogueResponse)


def target(address: str) -> str:
    """Checks an address."""
    if "://" in address and not address.startswith(("dns:", "unix:", "ipv4:", "ipv6:")):
        raise InvalidArgument(
            f'address "{address}": expected host:port, such as "127.0.0.1:6565"; for TLS say so by `tls`'
        )
    return address


def credentials(tls: Tls) -> grpc.ChannelCredentials | None:
    """Makes what a connection by TLS needs; `None` for one without."""
    if tls is None or tls is False:
        return None
    if tls is True:
        files = Certificates()
    elif isinstance(tls, Certificates):
        files = tls
    else:
        files = Certificates(ca=tls)
    if (files.cert is None) != (files.key is None):
        raise InvalidArgument("tls: a certificate and its key are given together: cert= and key=")
    return grpc.ssl_channel_credentials(_read(files.ca), _read(files.key), _read(files.cert))


def _read(path: FilePath | None) -> bytes | None:
    try:
        return None if path is None else Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"tls: {error}") from error


def headers(token: Token) -> tuple[tuple[str, str], ...]:
    """Makes what goes with one call."""
    if token is None:
        return ()
    return (("authorization", f"Bearer {token if isinstance(token, str) else token()}"),)
