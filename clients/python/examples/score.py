"""A scoring service: a payment in, the probability of fraud out.

    python score.py --server 127.0.0.1:6565 --model fraud.joblib --port 8080
    curl -d '{"customer_id": 596, "terminal_id": 3156, "amount": 57.16}' localhost:8080

One client is shared by all requests. Features that are missing or not complete are no reason to guess:
the service says so, and whoever asks falls back on rules.
"""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import joblib

from tiderace import Client, InvalidArgument, TideraceError


class Scorer:
    """A model, and where its inputs come from."""

    def __init__(self, client: Client, model: Any) -> None:
        """Takes any model that has `predict_proba` and names its inputs."""
        self.client = client
        self.model = model

    def score(self, payment: dict[str, Any]) -> dict[str, Any]:
        """Says how likely a payment is fraud, by which features, as of when."""
        features = self.client.get_online_features(
            "fraud_v1",
            {"customer_id": payment["customer_id"], "terminal_id": payment["terminal_id"]},
            {"amount": payment["amount"]},
        ).raise_unless_complete()
        inputs = features.to_pandas()[self.model.feature_names_in_]
        return {
            "score": float(self.model.predict_proba(inputs)[0, 1]),
            "features": features.fingerprint,
            "as_of": features.as_of.isoformat(),
        }


def serve(scorer: Scorer, port: int) -> ThreadingHTTPServer:
    """Opens the door of a scorer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            try:
                self.answer(200, scorer.score(json.loads(body)))
            except KeyError as error:
                self.answer(400, {"error": f"the payment lacks {error}"})
            except (InvalidArgument, ValueError) as error:
                self.answer(400, {"error": str(error)})
            except TideraceError as error:
                # Not complete, not reached, not in time: no score is better than a wrong one.
                self.answer(503, {"error": str(error)})

        def answer(self, status: int, body: dict[str, Any]) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description="Score payments over HTTP.")
    parser.add_argument("--server", default="127.0.0.1:6565", help="the gRPC address of Tiderace")
    parser.add_argument("--model", default="fraud.joblib", help="the model that train.py wrote")
    parser.add_argument("--port", type=int, default=8080, help="where to listen")
    parser.add_argument("--timeout", type=float, default=0.1, help="seconds that a lookup may take")
    arguments = parser.parse_args()
    with Client(arguments.server, timeout=arguments.timeout) as client:
        server = serve(Scorer(client, joblib.load(arguments.model)), arguments.port)
        print(f"scoring at http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
