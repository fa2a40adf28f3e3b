"""Deadlines, servers that fail and come back, and what is tried again."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
import trustme
from sales import DEFINITIONS, START, events
from served import Server, free_ports, until
from stand_in import StandIn

from tiderace import (
    Client,
    DeadlineExceeded,
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

UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_passes_is_tried_again() -> None:
    with StandIn([UNAVAILABLE, EXHAUSTED, UNAVAILABLE, None]) as server, Client(server.address) as client:
        assert len(client.get_online_features("any", {"key": 1})) == 0
        assert server.asked == ["GetOnlineFeatures"] * 4


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidArgument),
        (grpc.StatusCode.OUT_OF_RANGE, InvalidArgument),
        (grpc.StatusCode.NOT_FOUND, NotFound),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.UNIMPLEMENTED, Unimplemented),
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, PermissionDenied),
        (grpc.StatusCode.INTERNAL, Internal),
        (grpc.StatusCode.UNKNOWN, Internal),
    ],
)
def test_nothing_else_is(code: grpc.StatusCode, error: type[TideraceError]) -> None:
    with StandIn([code, None]) as server, Client(server.address) as client:
        with pytest.raises(error, match=f"told to say {code.name}"):
            client.get_online_features("any", {"key": 1})
        assert len(server.asked) == 1


@pytest.mark.parametrize(("code", "error"), [(UNAVAILABLE, Unavailable), (EXHAUSTED, ResourceExhausted)])
def test_attempts_end_at_the_deadline(code: grpc.StatusCode, error: type[TideraceError]) -> None:
    with StandIn([code]) as server, Client(server.address) as client:
        began = time.monotonic()
        with pytest.raises(error, match=f"told to say {code.name}"):
            client.get_online_features("any", {"key": 1}, timeout=0.5)
        assert time.monotonic() - began < 2.0
        assert len(server.asked) > 2


def test_a_slow_answer_is_not_waited_for() -> None:
    with StandIn([3.0]) as server, Client(server.address, timeout=0.2) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            client.get_online_features("any", {"key": 1})
        assert 0.15 < time.monotonic() - began < 2.0
        assert len(server.asked) == 1


def test_a_deadline_holds_when_the_server_stands_still(server: Server, client: Client) -> None:
    keys = {"shop": "north", "till": 1}
    client.get_online_features(["till_sales:sold"], keys)
    server.pause()
    try:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            client.get_online_features(["till_sales:sold"], keys, timeout=0.3)
        assert 0.25 < time.monotonic() - began < 3.0
    finally:
        server.resume()
    client.get_online_features(["till_sales:sold"], keys)


def test_nobody_there() -> None:
    with Client(f"127.0.0.1:{free_ports(1)[0]}", timeout=0.3) as client:
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            client.get_online_features("any", {"key": 1})
        assert time.monotonic() - began < 2.0


def test_a_push_is_sent_again_where_copies_count_once() -> None:
    with StandIn(pushes=[UNAVAILABLE, EXHAUSTED, None], event_id="id") as server:
        with Client(server.address) as client:
            assert client.push("sales", {"id": 1}).count == 1
        assert server.asked == ["Push", "GetCatalogue", "Push", "Push"]


def test_a_push_is_not_sent_again_where_they_do_not() -> None:
    with StandIn(pushes=[UNAVAILABLE, None], event_id="") as server, Client(server.address) as client:
        with pytest.raises(Unavailable, match="told to say UNAVAILABLE") as raised:
            client.push("sales", {"id": 1})
        assert "no event_id" in raised.value.__notes__[0]
        assert server.asked == ["Push", "GetCatalogue"]


def test_a_killed_server_is_found_again(tmp_path: Path) -> None:
    """Lookups and pushes go on through two kills; every sale counts once, on one connection."""
    server = Server(tmp_path, DEFINITIONS)
    server.start()
    failures: list[BaseException] = []
    asking, done = threading.Event(), threading.Event()
    with Client(server.address, timeout=60) as client:

        def push() -> None:
            try:
                for place, sale in enumerate(events(600)):
                    client.push("sales", sale)
                    if place == 20:
                        asking.set()
            except BaseException as failure:
                failures.append(failure)
            done.set()

        def ask() -> None:
            try:
                while not done.is_set():
                    client.get_online_features("kinds", {"shop": "north", "till": 1}, {"asked": 1})
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=each) for each in (push, ask)]
        for thread in threads:
            thread.start()
        assert asking.wait(60)
        for _ in range(2):
            server.kill()
            time.sleep(0.3)
            server.start()
        for thread in threads:
            thread.join()
        assert failures == []
        at = START + timedelta(days=6)
        tills = {"shop": ["north", "south"] * 9, "till": [till for till in range(9) for _ in range(2)]}

        def counted() -> int:
            asked = {"asked": [1.0] * 18}
            answer = client.get_online_features("kinds", tills, asked, as_of=at)
            return 0 if answer.incomplete() else int(sum(answer.to_dict()["sold_7d"]))

        until("every sale to count", lambda: counted() >= 600)
        assert counted() == 600
    server.stop()


def test_threads_share_one_connection() -> None:
    with StandIn() as server, Client(server.address, timeout=30) as client:

        def ask(_: int) -> int:
            return len(client.get_online_features("any", {"key": 1}))

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(ask, range(200))) == 0
        assert len(server.asked) == 200 and len(server.peers) == 1


def test_tls_and_a_token(tmp_path: Path) -> None:
    credentials, pem = _vouched_for(tmp_path)
    with StandIn(credentials=credentials) as server:
        with Client(server.address, tls=pem, token="secret") as client:
            client.get_online_features("any", {"key": 1})
        assert server.tokens == ["Bearer secret"]
        # By the system's authorities nobody vouches for it.
        with Client(server.address, tls=True, timeout=0.3) as client, pytest.raises(Unavailable):
            client.get_online_features("any", {"key": 1})
        with Client(server.address, timeout=0.3) as client, pytest.raises(Unavailable):
            client.get_online_features("any", {"key": 1})
    with pytest.raises(InvalidArgument, match=r"tls: .*nowhere\.pem"):
        Client("localhost:1", tls=tmp_path / "nowhere.pem")


def test_a_server_that_comes_late_is_found_by_the_same_call(tmp_path: Path) -> None:
    credentials, pem = _vouched_for(tmp_path)
    (port,) = free_ports(1)
    with Client(f"localhost:{port}", tls=pem, timeout=20) as client, ThreadPoolExecutor(1) as others:
        with socket.create_server(("localhost", port)) as nobody:
            answer = others.submit(client.get_online_features, "any", {"key": 1})
            for _ in range(6):
                nobody.accept()[0].close()
        with StandIn(credentials=credentials, port=port) as server:
            answer.result()
            assert server.asked == ["GetOnlineFeatures"]


def _vouched_for(folder: Path) -> tuple[grpc.ServerCredentials, Path]:
    """What a server of `localhost` shows, and the authority by which it is believed."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
    pem = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(pem))
    return grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)]), pem
