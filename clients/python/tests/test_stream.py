"""Many lookups over one stream: in order, each with its own error, and found again on another server."""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest
from sales import DEFINITIONS, START
from served import Server, free_ports
from stand_in import StandIn

from tiderace import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    InvalidArgument,
    Lookup,
    NotFound,
    OnlineFeatures,
    ResourceExhausted,
    TideraceError,
    Unavailable,
)

AT = START + timedelta(days=6)
UNAVAILABLE, EXHAUSTED = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED
FEATURES = ["till_sales:sold", "till_sales:quiet_for"]

Outcomes = list[OnlineFeatures | TideraceError]


def lookups(number: int) -> list[Lookup]:
    return [Lookup({"shop": "north", "till": till % 9}, as_of=AT) for till in range(number)]


async def collect(address: str, features: Any, asked: Any, **more: Any) -> Outcomes:
    async with AsyncClient(address, timeout=30) as client:
        return [each async for each in client.stream_online_features(features, asked, **more)]


def both(server: Server | StandIn, client: Client, features: Any, asked: Any, **more: Any) -> list[Outcomes]:
    """Asks by threads, and by asyncio."""
    told = list(client.stream_online_features(features, asked, **more))
    return [told, asyncio.run(collect(server.address, features, asked, **more))]


def test_answers_come_in_order_and_are_those_of_single_calls(server: Server, client: Client) -> None:
    expected = [client.get_online_features(FEATURES, each.entities, as_of=AT)[0] for each in lookups(9)]
    assert len({str(each) for each in expected}) > 1
    for told in both(server, client, FEATURES, lookups(200)):
        assert len(told) == 200
        for till, answer in enumerate(told):
            assert isinstance(answer, OnlineFeatures)
            assert answer[0] == expected[till % 9] and answer.as_of == AT


def test_an_error_is_of_its_own_request(server: Server, client: Client) -> None:
    good = {"shop": "north", "till": 1}
    asked = [good, {"shop": "north"}, {"shop": "north", "till": object()}, good, Lookup(5)]  # type: ignore[arg-type]
    for told in both(server, client, FEATURES, asked):
        kinds = [type(each) for each in told]
        wrong = InvalidArgument
        assert kinds == [OnlineFeatures, wrong, wrong, OnlineFeatures, wrong]
        assert "till" in str(told[1])
    for told in both(server, client, "kindz", [good]):
        assert isinstance(told[0], NotFound) and "did you mean" in str(told[0])


def test_requests_are_taken_some_ahead_and_answered_as_they_come(server: Server, client: Client) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Lookup]:
        for number in count():
            taken.append(number)
            yield Lookup({"shop": "north", "till": number % 9}, as_of=AT)

    answers = client.stream_online_features(FEATURES, endless())
    for _ in range(100):
        assert isinstance(next(answers), OnlineFeatures)
    answers.close()  # type: ignore[attr-defined]
    assert 100 <= len(taken) < 200

    # Nothing is waited for but what was asked.
    waiting: queue.Queue[Lookup | None] = queue.Queue()
    answers = client.stream_online_features(FEATURES, iter(waiting.get, None), timeout=1)
    for number in range(3):
        waiting.put(lookups(3)[number])
        assert isinstance(next(answers), OnlineFeatures)
    threading.Timer(1.3, waiting.put, [None]).start()
    assert list(answers) == []


def test_what_is_wrong_with_the_callers_requests_is_raised_after_the_answers(
    server: Server, client: Client
) -> None:
    def broken() -> Iterator[Lookup]:
        yield from lookups(3)
        raise RuntimeError("no more")

    told = []
    with pytest.raises(RuntimeError, match="no more"):
        for each in client.stream_online_features(FEATURES, broken()):
            told.append(each)
    assert len(told) == 3
    with pytest.raises(RuntimeError, match="no more"):
        asyncio.run(collect(server.address, FEATURES, broken()))


def test_what_passes_is_tried_again() -> None:
    asked = [{"key": number} for number in range(4)]
    streams = [None, UNAVAILABLE, None, EXHAUSTED, None]
    for ask in ("threads", "asyncio"):
        with StandIn(streams=list(streams)) as server, Client(server.address) as client:
            if ask == "threads":
                told: Outcomes = list(client.stream_online_features("any", asked))
            else:
                told = asyncio.run(collect(server.address, "any", asked))
            assert [type(each) for each in told] == [OnlineFeatures] * 4
            # The second stream begins with what the first did not answer; what was refused is asked alone.
            asks = [each for each in server.asked if each.startswith("Stream") or each.startswith("Get")]
            assert asks == ["StreamOnlineFeatures"] * 2 + ["GetOnlineFeatures"]
            again = server.asked.index("StreamOnlineFeatures", 1)
            assert server.asked[again + 1] == "request 2"


def test_attempts_and_answers_have_a_deadline() -> None:
    asked = [{"key": 1}]
    with StandIn([EXHAUSTED], streams=[EXHAUSTED]) as server, Client(server.address) as client:
        for told in both(server, client, "any", asked, timeout=0.3):
            assert isinstance(told[0], ResourceExhausted)
    with StandIn(streams=[3.0]) as server, Client(server.address) as client:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            list(client.stream_online_features("any", asked, timeout=0.2))
        with pytest.raises(DeadlineExceeded):
            asyncio.run(collect(server.address, "any", asked, timeout=0.2))
        assert time.monotonic() - began < 2.0
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    with Client(nowhere) as client, pytest.raises(Unavailable):
        list(client.stream_online_features("any", asked, timeout=0.3))
    with pytest.raises(Unavailable):
        asyncio.run(collect(nowhere, "any", asked, timeout=0.3))


def test_a_stream_goes_on_when_its_server_is_killed_or_stopped(tmp_path: Path) -> None:
    server = Server(tmp_path, DEFINITIONS)
    server.start()
    progress = threading.Semaphore(0)
    failures: list[BaseException] = []

    def ask(client: Client) -> None:
        try:
            told = client.stream_online_features(FEATURES, lookups(3_000), timeout=60)
            for number, each in enumerate(told):
                assert isinstance(each, OnlineFeatures) and len(each) == 1, each
                if number % 500 == 0:
                    progress.release()
                time.sleep(0.001)
            assert number == 2_999
        except BaseException as failure:
            failures.append(failure)
            progress.release(10)

    async def ask_async() -> None:
        async def asked() -> AsyncIterator[Lookup]:
            for each in lookups(3_000):
                await asyncio.sleep(0.001)
                yield each

        try:
            told = await collect(server.address, FEATURES, asked(), timeout=60)
            assert [type(each) for each in told] == [OnlineFeatures] * 3_000
        except BaseException as failure:
            failures.append(failure)

    with Client(server.address, timeout=60) as client:
        threads = [
            threading.Thread(target=ask, args=[client]),
            threading.Thread(target=lambda: asyncio.run(ask_async())),
        ]
        for thread in threads:
            thread.start()
        for end in (server.kill, server.stop):
            assert progress.acquire(timeout=60) and progress.acquire(timeout=60)
            end()
            server.start()
        for thread in threads:
            thread.join()
    server.stop()
    assert failures == []
