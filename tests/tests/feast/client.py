# Asks a server through the installed version of Feast's Python SDK, and over gRPC by its stubs.
#
#   client.py PLAN    a JSON file: where the server is, and what to ask; the answers go to standard output
#
# It judges nothing: what answers should be is the test's matter.
import http.client
import json
import struct
import sys
import tempfile
from datetime import timedelta

import grpc
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.serving import ServingService_pb2 as serving
from feast.protos.feast.serving.ServingService_pb2_grpc import ServingServiceStub
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import Array, Float64, Int64
from feast.version import get_version

TYPES = {
    "int64": Int64,
    "float64": Float64,
    "list<int64>": Array(Int64),
    "list<float64>": Array(Float64),
}


def store(plan, folder):
    """A store that has nothing but where the server is, and the views it is told of."""
    config = RepoConfig(
        project="tests",
        provider="local",
        registry=f"{folder}/registry.db",
        online_store={"type": "remote", "path": plan["http"]},
        entity_key_serialization_version=3,
    )
    made = FeatureStore(config=config)
    source = FileSource(name="none", path=f"{folder}/none.parquet", timestamp_field="at")
    for view in plan["views"]:
        entities = [Entity(name=key, join_keys=[key], value_type=ValueType.INT64) for key in view["keys"]]
        fields = {**{key: "int64" for key in view["keys"]}, **view["fields"]}
        for entity in entities:
            made.registry.apply_entity(entity, "tests")
        made.registry.apply_feature_view(
            FeatureView(
                name=view["name"],
                entities=entities,
                schema=[Field(name=name, dtype=TYPES[kind]) for name, kind in fields.items()],
                source=source,
                ttl=timedelta(0),
            ),
            "tests",
        )
    return made


def asked(case):
    if "service" in case:
        return FeatureService(name=case["service"], features=[])
    return case["features"]


def by_sdk(made, case):
    answer = made.get_online_features(
        features=asked(case),
        entity_rows=case["entities"] if case.get("columns") else rows(case["entities"]),
        full_feature_names=case.get("full", False),
    )
    names = list(answer.proto.metadata.feature_names.val)
    statuses = [
        [serving.FieldStatus.Name(status) for status in column.statuses] for column in answer.proto.results
    ]
    return {"values": answer.to_dict(), "statuses": dict(zip(names, statuses)), "names": names}


def rows(columns):
    names = list(columns)
    return [dict(zip(names, row)) for row in zip(*columns.values())]


def by_grpc(stub, case):
    request = serving.GetOnlineFeaturesRequest(full_feature_names=case.get("full", False))
    if "service" in case:
        request.feature_service = case["service"]
    else:
        request.features.val.extend(case["features"])
    for name, column in case["entities"].items():
        request.entities[name].CopyFrom(RepeatedValue(val=[message(value) for value in column]))
    answer = stub.GetOnlineFeatures(request, timeout=30)
    names = list(answer.metadata.feature_names.val)
    out = {"values": {}, "statuses": {}, "names": names}
    for name, column in zip(names, answer.results):
        out["values"][name] = [plain(value) for value in column.values]
        out["statuses"][name] = [serving.FieldStatus.Name(status) for status in column.statuses]
    return out


def message(value):
    if isinstance(value, int):
        return Value(int64_val=value)
    if isinstance(value, float):
        return Value(double_val=value)
    return Value(string_val=value)


def plain(value):
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    found = getattr(value, kind)
    return list(found.val) if kind.endswith("_list_val") else found


def attempt(ask, *arguments):
    """The answer, or what was raised and after how many requests."""
    SENT.clear()
    try:
        return ask(*arguments)
    except grpc.RpcError as error:
        return {"raised": error.code().name, "message": error.details()}
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error), "requests": len(SENT)}


# The paths of the HTTP requests that one attempt has sent.
SENT = []


def count_requests():
    put = http.client.HTTPConnection.putrequest

    def counted(connection, method, path, *more, **named):
        SENT.append(path)
        return put(connection, method, path, *more, **named)

    http.client.HTTPConnection.putrequest = counted


def main():
    with open(sys.argv[1]) as file:
        plan = json.load(file)
    count_requests()
    with tempfile.TemporaryDirectory() as folder:
        made = store(plan, folder)
        channel = grpc.insecure_channel(plan["grpc"])
        stub = ServingServiceStub(channel)
        out = {
            "version": get_version(),
            "sdk": [attempt(by_sdk, made, case) for case in plan["sdk"]],
            "grpc": [attempt(by_grpc, stub, case) for case in plan["grpc_cases"]],
        }
        channel.close()
    json.dump(exact(out), sys.stdout)


def exact(found):
    """The same with the bits of every double, which not every reader of JSON keeps."""
    if isinstance(found, float):
        return "double " + struct.pack(">d", found).hex()
    if isinstance(found, dict):
        return {name: exact(value) for name, value in found.items()}
    if isinstance(found, list):
        return [exact(value) for value in found]
    return found


main()
