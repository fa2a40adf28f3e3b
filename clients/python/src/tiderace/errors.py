"""What can go wrong, by what can be done about it."""

import grpc
import grpc.aio


class TideraceError(Exception):
    """Is the base of every error of this package; its text is what the server or the command says."""


class InvalidArgument(TideraceError, ValueError):
    """Change the request: the text says what of it, and how."""


class NotFound(TideraceError, LookupError):
    """Ask for something that exists: the text names what is nearest."""


class ResourceExhausted(TideraceError):
    """Ask for less, or later: the server is at its limit."""


class Unavailable(TideraceError, ConnectionError):
    """Ask again later: the server, or what it needs, cannot be reached."""


class DeadlineExceeded(TideraceError, TimeoutError):
    """Allow more time. A push that ended so may have been accepted or not."""


class Unimplemented(TideraceError):
    """Ask another server: this one does not do that."""


class Unauthenticated(TideraceError):
    """Give a token that the server knows."""


class PermissionDenied(TideraceError):
    """Give a token that may do this."""


class Internal(TideraceError):
    """Report it: this is a fault of the server, or of this package."""


class IncompleteFeatures(TideraceError):
    """Values are missing or not complete, and complete ones were demanded."""


class HistoryFailed(TideraceError):
    """No training set was made; the text is what `tiderace history` says."""


_BY_CODE: dict[grpc.StatusCode, type[TideraceError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
}


BROKEN = "Internal error from Core"
"""What gRPC for asyncio says of a call whose stream ends while it is written to; no server says it."""


def of_rpc(error: grpc.RpcError) -> TideraceError:
    """Makes the error of a call that got no answer."""
    assert isinstance(error, grpc.Call | grpc.aio.AioRpcError), "every failed call tells its code"
    code, details = error.code(), error.details()
    if code is grpc.StatusCode.INTERNAL and details == BROKEN:
        return Unavailable("the connection ended under the call")
    return _BY_CODE.get(code, Internal)(details or f"the call ended as {code.name}")


def of_code(number: int, message: str) -> TideraceError:
    """Makes the error of one request of a stream."""
    code = next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)
    return _BY_CODE.get(code, Internal)(message or f"the request ended as {code.name}")
