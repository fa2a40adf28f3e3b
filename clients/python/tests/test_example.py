"""The example is run as its reader would: trained from the past, serving the present."""

import json
import random
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import joblib
import pandas
import pytest
from served import Server, until

from generate import HERE
from tiderace import Client, get_historical_features

REPOSITORY = HERE.parents[1]


class Shop:
    """The example project with a past that is in its archive and in its server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.labels = folder / "past/payments.parquet"
        self.model = folder / "fraud.joblib"
        files = sorted((REPOSITORY / "features").glob("*.yaml"))
        texts = [file.read_text() for file in files if file.name != "tiderace.yaml"]
        # All that there is, is known; and a table has it.
        more = "allowed_lateness: 1d\ncomplete_since: beginning\nmax_ahead: none\nmax_lag: 1h\n"
        more += f"archive: {{ parquet: {self.labels.parent}, write: false }}"
        definitions = "\n---\n".join(texts).replace("allowed_lateness: 1d", more)
        self.server = Server(folder / "features", definitions)

    def open(self) -> None:
        """Takes in twenty days of payments, until now."""
        dice = random.Random(5)
        now = datetime.now(UTC)
        ages = sorted((dice.random() * 20 for _ in range(3_000)), reverse=True)
        payments = [
            {
                "tx_id": number,
                "tx_time": now - timedelta(days=age),
                "customer_id": dice.randrange(60),
                "terminal_id": dice.randrange(30),
                "amount": round(dice.expovariate(0.02), 2),
                "is_fraud": int(dice.random() < 0.1),
            }
            for number, age in enumerate(ages)
        ]
        self.labels.parent.mkdir()
        pandas.DataFrame(payments).to_parquet(self.labels)
        self.server.start()
        with Client(self.server.address, timeout=30) as client:
            client.push("card_payments", payments)
            customers = {"customer_id": list(range(60))}

            def counted() -> bool:
                answer = client.get_online_features(["customer_spend:tx_count"], customers)
                if answer.incomplete():
                    return False
                return bool(sum(answer.to_dict()["tx_count_30d"]) == len(payments))

            until("every payment to count", counted)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.open()
    words = ["--project", str(shop.server.folder), "--labels", str(shop.labels), "--model", str(shop.model)]
    told = subprocess.run(
        [sys.executable, str(HERE / "examples/train.py"), *words], check=True, capture_output=True, text=True
    )
    assert "3000 payments" in told.stdout
    yield shop
    shop.server.stop()


@pytest.fixture(scope="module")
def service(shop: Shop) -> Iterator[str]:
    words = ["--server", shop.server.address, "--model", str(shop.model), "--port", "0", "--timeout", "30"]
    command = [sys.executable, str(HERE / "examples/score.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[-1]
        yield url
        process.terminate()


def score(url: str, payment: Any) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(payment).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_what_is_served_is_what_was_trained_on(shop: Shop, service: str) -> None:
    """Scores are those of features that a training set has for the same payments at the same instants."""
    payments = [{"customer_id": n, "terminal_id": n % 30, "amount": 10.0 * n + 1} for n in range(40)]
    answers = [score(service, payment) for payment in payments]
    assert {status for status, _ in answers} == {200}, answers
    spine = pandas.DataFrame(payments).assign(
        tx_time=[datetime.fromisoformat(answer["as_of"]) for _, answer in answers]
    )
    past = get_historical_features(spine, "fraud_v1", project=shop.server.folder)
    model = joblib.load(shop.model)
    expected = model.predict_proba(past[model.feature_names_in_])[:, 1]
    assert [answer["score"] for _, answer in answers] == pytest.approx(list(expected), rel=1e-9)
    assert len({answer["score"] for _, answer in answers}) > 10


def test_what_cannot_be_scored_is_said(service: str) -> None:
    assert score(service, {"customer_id": 1, "amount": 1.0}) == (
        400,
        {"error": "the payment lacks 'terminal_id'"},
    )
    status, answer = score(service, {"customer_id": "1", "terminal_id": 1, "amount": 1.0})
    assert status == 400 and "send the number itself" in answer["error"]


def test_the_lines_of_the_readme(shop: Shop, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs what the README shows, as it stands there but for the address and the time it allows."""
    readme = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (lines,) = [block for block in blocks if "def score" in block]
    body = [line for line in lines.splitlines() if line.strip() and not line.startswith(("import", "from"))]
    assert len(body) == 6, body
    assert '"127.0.0.1:6565"' in lines and "timeout=0.05" in lines
    lines = lines.replace('"127.0.0.1:6565"', repr(shop.server.address)).replace("timeout=0.05", "timeout=30")
    monkeypatch.chdir(shop.folder)
    scope: dict[str, Any] = {}
    exec(lines, scope)
    payment = {"customer_id": 7, "terminal_id": 3, "amount": 80.0}
    # The two instants are not the same, and no payment left a window between them, or hardly ever one.
    assert scope["score"](payment) == pytest.approx(score(service, payment)[1]["score"], abs=0.2)
    scope["client"].close()
