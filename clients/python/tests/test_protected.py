"""The real server with TLS, certificates of clients and tokens."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sales import DEFINITIONS
from served import Server, run

from tiderace import (
    AsyncClient,
    Certificates,
    Client,
    InvalidArgument,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
)


@dataclass(frozen=True)
class Protected:
    """A server, and what its one caller has."""

    server: Server
    token: str
    tls: Certificates


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    folder = tmp_path_factory.mktemp("protected")
    ca = folder / "ca"
    _openssl(f"req -x509 -subj /CN=authority -days 2 -nodes -keyout {ca}.key -out {ca}.pem {NEW}")
    for name, more in (("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
        path = folder / name
        _openssl(
            f"req -x509 -subj /CN={name} -days 2 -nodes -keyout {path}.key -out {path}.pem {NEW} "
            f"-CA {ca}.pem -CAkey {ca}.key -addext {more} -addext basicConstraints=CA:FALSE"
        )
    made = json.loads(run("token", "--format", "json"))
    server = Server(folder, DEFINITIONS)
    settings = folder / "tiderace.yaml"
    protection = (
        ", tls: { cert: server.pem, key: server.key, client_ca: ca.pem }"
        f', auth: {{ callers: [{{ name: tests, tokens: ["{made["sha256"]}"], push: [taps] }}] }} }}'
    )
    settings.write_text(settings.read_text().rstrip().removesuffix("}").rstrip() + protection + "\n")
    server.launch()
    tls = Certificates(ca=folder / "ca.pem", cert=folder / "client.pem", key=folder / "client.key")
    with Client(server.address, tls=tls, token=made["token"]) as client:
        server.wait("the server to take events", lambda: _takes(client))
    yield Protected(server, made["token"], tls)
    server.stop()


NEW = "-newkey ec -pkeyopt ec_paramgen_curve:P-256"


def _openssl(words: str) -> None:
    done = subprocess.run(["openssl", *words.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _takes(client: Client) -> bool:
    try:
        return client.push("taps", TAP, timeout=1).count == 1
    except Unavailable as error:
        print(error)
        return False


TAP = {"at": "2024-05-01T10:00:00Z", "shop": "north"}


def test_a_right_token_and_certificate_are_let_in(protected: Protected) -> None:
    given: list[str] = []

    def token() -> str:
        given.append(protected.token)
        return protected.token

    with Client(protected.server.address, tls=protected.tls, token=token) as client:
        assert client.push("taps", TAP).count == 1
        assert client.push("taps", TAP).count == 1
    assert len(given) == 2, "it is asked before every call"

    async def asynchronously() -> int:
        async with AsyncClient(protected.server.address, tls=protected.tls, token=token) as client:
            return (await client.push("taps", TAP)).count

    assert asyncio.run(asynchronously()) == 1


def test_what_is_not_allowed_says_which_right_is_missing(protected: Protected) -> None:
    with Client(protected.server.address, tls=protected.tls, token=protected.token) as client:
        with pytest.raises(PermissionDenied, match="it is not among its `push`"):
            client.push("sales", TAP)
        with pytest.raises(PermissionDenied, match="it is not among its `views`"):
            client.get_online_features(["shop_taps:taps"], {"shop": "north"})
    for token in (None, "tdr_wrong"):
        with Client(protected.server.address, tls=protected.tls, token=token) as client:
            with pytest.raises(Unauthenticated, match="token") as raised:
                client.push("taps", TAP)
            assert "tdr_wrong" not in str(raised.value)


def test_without_a_certificate_nobody_is_let_in(protected: Protected) -> None:
    address, ca = protected.server.address, protected.tls.ca
    for tls in (ca, None, True):
        with Client(address, tls=tls, token=protected.token, timeout=0.5) as client:
            with pytest.raises(Unavailable):
                client.push("taps", TAP)


def test_half_a_pair_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="given together"):
        Client("localhost:1", tls=Certificates(cert=tmp_path / "me.pem"))
    with pytest.raises(InvalidArgument, match=r"tls: .*nowhere\.key"):
        (tmp_path / "me.pem").write_text("")
        Client("localhost:1", tls=Certificates(cert=tmp_path / "me.pem", key=tmp_path / "nowhere.key"))
