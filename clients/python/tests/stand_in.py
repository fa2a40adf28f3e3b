"""A stand-in for the server, which fails as it is told to: for what the real one does not do when asked.

It also listens by TLS and remembers the tokens that came.
"""

import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc

from tiderace.v1 import catalogue_pb2, lookup_pb2, push_pb2

Outcome = grpc.StatusCode | float | None
"""A failure; seconds to wait before an answer; or an answer at once."""


class StandIn:
    """Answers each call by the next of the outcomes it was given, and then by the last of them for ever."""

    def __init__(
        self,
        lookups: list[Outcome] | None = None,
        pushes: list[Outcome] | None = None,
        streams: list[Outcome] | None = None,
        event_id: str = "",
        credentials: grpc.ServerCredentials | None = None,
        port: int = 0,
    ) -> None:
        """Opens the door; at any port, if none is given."""
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.peers: set[str] = set()
        self._lock = threading.Lock()
        self._outcomes = {"GetOnlineFeatures": lookups or [None], "Push": pushes or [None]}
        source = catalogue_pb2.CatalogueSource(name="sales", event_id=event_id)
        answers: dict[str, tuple[type[Any], Any]] = {
            "GetOnlineFeatures": (
                lookup_pb2.GetOnlineFeaturesRequest,
                lookup_pb2.GetOnlineFeaturesResponse(),
            ),
            "Push": (push_pb2.PushRequest, push_pb2.PushResponse(count=1)),
            "GetCatalogue": (
                catalogue_pb2.GetCatalogueRequest,
                catalogue_pb2.GetCatalogueResponse(sources=[source]),
            ),
        }
        self._outcomes["StreamOnlineFeatures"] = streams or [None]
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(
                self._answer(name, answer),
                request_deserializer=request.FromString,
                response_serializer=type(answer).SerializeToString,
            )
            for name, (request, answer) in answers.items()
        }
        handlers["StreamOnlineFeatures"] = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=lookup_pb2.StreamOnlineFeaturesRequest.FromString,
            response_serializer=lookup_pb2.StreamOnlineFeaturesResponse.SerializeToString,
        )
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        handler = grpc.method_handlers_generic_handler("tiderace.v1.FeatureStore", handlers)
        self._server.add_generic_rpc_handlers((handler,))
        if credentials is None:
            port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            port = self._server.add_secure_port(f"localhost:{port}", credentials)
        self.address = f"{'127.0.0.1' if credentials is None else 'localhost'}:{port}"
        self._server.start()

    def _answer(self, name: str, answer: Any) -> Callable[[Any, grpc.ServicerContext], Any]:
        def answered(_: Any, context: grpc.ServicerContext) -> Any:
            with self._lock:
                self.asked.append(name)
                self.peers.add(context.peer())
                told = {key: value for key, value in context.invocation_metadata() or ()}
                token = told.get("authorization")
                self.tokens.append(token if isinstance(token, str) else None)
                outcomes = self._outcomes.get(name, [None])
                outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
            if isinstance(outcome, grpc.StatusCode):
                context.abort(outcome, f"told to say {outcome.name}")
            if isinstance(outcome, float):
                time.sleep(outcome)
            return answer

        return answered

    def _stream(self, requests: Any, context: grpc.ServicerContext) -> Any:
        """Answers each request of a stream by the next outcome: a failure ends the stream, unless it is
        that of a request.
        """
        with self._lock:
            self.asked.append("StreamOnlineFeatures")
        for request in requests:
            with self._lock:
                self.asked.append(f"request {request.id}")
                outcomes = self._outcomes["StreamOnlineFeatures"]
                outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
            response = lookup_pb2.StreamOnlineFeaturesResponse(id=request.id)
            if isinstance(outcome, grpc.StatusCode) and outcome is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                context.abort(outcome, f"told to say {outcome.name}")
            if isinstance(outcome, grpc.StatusCode):
                error: Any = response.error
                error.code, error.message = outcome.value[0], "told to say so"
            else:
                response.answer.SetInParent()
            if isinstance(outcome, float):
                time.sleep(outcome)
            yield response

    def __enter__(self) -> "StandIn":
        """Gives the stand-in itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the door."""
        self._server.stop(None).wait()
