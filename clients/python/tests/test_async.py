"""The client of asyncio answers as the other does, many at once."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from plain import same
from sales import START
from served import Server
from stand_in import StandIn

from tiderace import AsyncClient, Client, DeadlineExceeded, InvalidArgument, NotFound, Unavailable

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
AT = START + timedelta(days=6)


def test_many_at_once(server: Server, client: Client) -> None:
    async def ask() -> None:
        async with AsyncClient(server.address, timeout=30) as asking:
            questions = [
                asking.get_online_features("kinds", {"shop": "north", "till": till}, {"asked": 1.0}, as_of=AT)
                for till in range(50)
            ]
            for till, answer in enumerate(await asyncio.gather(*questions)):
                keys = {"shop": "north", "till": till}
                assert answer[0] == client.get_online_features("kinds", keys, {"asked": 1.0}, as_of=AT)[0]
            http = {"entities": {"item": ["tea"]}, "as_of": AT.isoformat(), "include_metadata": True}
            answer = await asking.get_online_features(["item_sales:*"], {"item": "tea"}, as_of=AT)
            same(answer, server.features(features=["item_sales:*"], **http))
            assert (await asking.push("taps", {"at": AT, "shop": "async"})).count == 1
            keys = {"shop": "async", "till": 1}
            sale = {"id": "async", "at": AT} | keys
            scored = await asking.push_and_get("sales", sale, ["till_sales:sold"], keys)
            assert scored.pushed.count == 1 and len(scored.features.names) > 0
            with pytest.raises(NotFound, match="did you mean"):
                await asking.get_online_features("kind", {"shop": "north"})

    asyncio.run(ask())


def test_attempts() -> None:
    async def ask() -> None:
        with StandIn([UNAVAILABLE, None], [UNAVAILABLE, None], event_id="id") as server:
            async with AsyncClient(server.address) as client:
                await client.get_online_features("any", {"key": 1})
                await client.push("sales", {"id": 1})
            assert server.asked == ["GetOnlineFeatures"] * 2 + ["Push", "GetCatalogue", "Push"]
        with StandIn([UNAVAILABLE], [UNAVAILABLE]) as server:
            async with AsyncClient(server.address, timeout=0.3) as client:
                began = time.monotonic()
                with pytest.raises(Unavailable):
                    await client.get_online_features("any", {"key": 1})
                assert time.monotonic() - began < 2.0
                with pytest.raises(Unavailable):
                    await client.push("sales", {"id": 1})
                assert server.asked[-2:] == ["Push", "GetCatalogue"]
        with StandIn([3.0]) as server:
            async with AsyncClient(server.address, token="secret", timeout=0.2) as client:
                with pytest.raises(DeadlineExceeded):
                    await client.get_online_features("any", {"key": 1})
            assert server.tokens == ["Bearer secret"]

    asyncio.run(ask())


def test_authorities_that_are_not_there(tmp_path: Path) -> None:
    async def make() -> None:
        AsyncClient("localhost:1", tls=tmp_path / "nowhere.pem")

    with pytest.raises(InvalidArgument, match="tls"):
        asyncio.run(make())
