"""One server with the sales of a week, for all tests that only ask it."""

from collections.abc import Iterator

import pytest
from sales import DEFINITIONS, events
from served import Server, until

from tiderace import Client


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("project"), DEFINITIONS)
    server.start()
    with Client(server.address) as client:
        sales = events(1_500)
        client.push("sales", sales)
        client.push("taps", [{"at": sales[-1]["at"], "shop": "north"}] * 2)
        until("the last sale to count", lambda: _is_seen(client))
    yield server
    server.stop()


def _is_seen(client: Client) -> bool:
    last = events(1_500)[-1]
    keys = {name: last[name] for name in ("shop", "till")}
    answer = client.get_online_features(
        ["till_sales:quiet_for", "shop_taps:taps"], keys, as_of=last["at"], timeout=10
    )
    seen = answer[0]["quiet_for_7d"]
    return seen is not None and not seen and answer[0]["taps_1d"] == 2


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.address, timeout=30) as client:
        yield client
