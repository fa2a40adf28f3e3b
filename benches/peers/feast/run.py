#!/usr/bin/env python3
"""Lookups of 50 features of one entity: Feast's Python feature server and Tiderace, over one Redis.

Installs Feast from PyPI into the cache. Tiderace computes the features from made-up payments (`tiderace worker`);
what it answers is written into Feast's online store, in Feast's own format, on the same Redis server. Then
`feast serve` with one worker and `tiderace serve` are asked the same requests in Feast's protocol, over HTTP; Tiderace
over Feast's gRPC as well, which Feast's server has not. First about every entity: every value must be equal, or
there are no figures. Then in turns, by closed loops of the same concurrency.

    benches/peers/feast/run.py [--entities 1000] [--events 60] [--rounds 3] [--seconds 5] [--in-flight 1,16,64] [--hop]

Without rounds only answers are compared, and bytes: what MEMORY USAGE says of each entity's key. Processor time is that
of the servers' processes, from /proc. Latencies are those of the driver, which is Python too: its own work counts in
all of them, and is most of the shorter ones.
"""

import argparse
import datetime
import http.client
import json
import os
import pathlib
import random
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time

FEAST = "0.67.0"
ROOT = pathlib.Path(__file__).resolve().parents[3]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tiderace"
HOME = CACHE / "feast-server"

# What the features and the questions are made of, so it is known before anything else.
HOP = "--hop" in sys.argv
SIZES = {"1h": "1m", "1d": "1h", "7d": "1d", "14d": "1d", "30d": "1d"}
WINDOWS = [f"{{ size: {size}, hop: {hop} }}" if HOP else size for size, hop in SIZES.items()]
NAMES = [f"{size}_hop_{hop}" if HOP else size for size, hop in SIZES.items()]
MEASURES = [
    ("tx_count", "aggregate: count", "Int64"),
    ("amount_sum", "aggregate: sum, of: amount", "Float64"),
    ("amount_avg", "aggregate: avg, of: amount", "Float64"),
    ("amount_min", "aggregate: min, of: amount", "Float64"),
    ("amount_max", "aggregate: max, of: amount", "Float64"),
    ("terminals", "aggregate: count_distinct, of: terminal_id", "Int64"),
    ("large_count", "aggregate: count, where: \"amount > 50\"", "Int64"),
    ("large_sum", "aggregate: sum, of: amount, where: \"amount > 50\"", "Float64"),
    ("frauds", "aggregate: sum, of: is_fraud", "Int64"),
    ("last_terminal", "aggregate: last, of: terminal_id", "Int64"),
]
FEATURES = [(f"{name}_{window}", kind) for name, _, kind in MEASURES for window in NAMES]
REFERENCES = [f"customer_wide:{name}" for name, _ in FEATURES]

DEFINITIONS = """
kind: source
name: card_payments
stream: embedded
columns: { tx_id: int64, tx_time: timestamp, customer_id: int64, terminal_id: int64, amount: float64, is_fraud: int64 }
event_time: tx_time
event_id: tx_id
allowed_lateness: 60d
complete_since: beginning
---
kind: entity
name: customer
keys: { customer_id: int64 }
---
kind: feature_view
name: customer_wide
entity: customer
source: card_payments
features:
""" + "".join(f"  - {{ name: {name}, {what}, windows: [{', '.join(WINDOWS)}] }}\n" for name, what, _ in MEASURES)

# What asks over gRPC: run by the Python of Feast, with port, callers, seconds, entities, features.
CALL = """
import asyncio, json, sys, time
import grpc
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesRequest
port, in_flight, seconds, entities = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
references = json.loads(sys.argv[5])
def encoded(customer):
    request = GetOnlineFeaturesRequest()
    request.features.val.extend(references)
    request.entities["customer_id"].val.add().int64_val = customer
    return request.SerializeToString()
requests = [encoded(customer) for customer in range(entities)]
async def main():
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
                for _ in range(min(in_flight, 4))]
    method = "/feast.serving.ServingService/GetOnlineFeatures"
    calls = [channel.unary_unary(method) for channel in channels]
    for call in calls:
        await call(requests[0])
    latencies, refused = [], 0
    began = time.perf_counter()
    async def caller(place):
        nonlocal refused
        call, next = calls[place % len(calls)], place * 31
        while time.perf_counter() - began < seconds:
            next = (next + 7919) % entities
            at = time.perf_counter()
            try:
                await call(requests[next])
                latencies.append(time.perf_counter() - at)
            except grpc.RpcError:
                refused += 1
    await asyncio.gather(*(caller(place) for place in range(in_flight)))
    took = time.perf_counter() - began
    for channel in channels:
        await channel.close()
    print(json.dumps([latencies, refused, took]))
asyncio.run(main())
"""

# What fills Feast's store: run by Feast's Python, with its repository's folder and a file of rows.
FILL = """
import datetime, json, sys
import pandas
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.types import Float64, Int64
from feast.value_type import ValueType
store = FeatureStore(repo_path=sys.argv[1])
told = json.load(open(sys.argv[2]))
kinds = {"Int64": Int64, "Float64": Float64}
customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
view = FeatureView(
    name="customer_wide", entities=[customer], online=True,
    ttl=datetime.timedelta(days=0),
    schema=[Field(name=name, dtype=kinds[kind]) for name, kind in told["features"]],
    source=FileSource(name="nothing", path="nothing.parquet", timestamp_field="event_timestamp"),
)
store.apply([customer, view])
frame = pandas.DataFrame({"customer_id": pandas.array(told["customers"], dtype="int64")})
for place, (name, kind) in enumerate(told["features"]):
    frame[name] = pandas.array([row[place] for row in told["rows"]], dtype=kind)
frame["event_timestamp"] = pandas.Timestamp.now(tz="UTC")
frame["created"] = frame["event_timestamp"]
store.write_to_online_store("customer_wide", frame)
"""


def install():
    venv = HOME / f"venv-{FEAST}"
    python = venv / "bin/python"
    if not (venv / "made").exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", f"feast[redis,grpcio]=={FEAST}"],
                       check=True)
        (venv / "made").touch()
    return venv


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


class Process:
    """A server of this machine; its processor time is that of it and of all that it has begun."""

    def __init__(self, command, folder, environment=None):
        name = "-".join([pathlib.Path(str(command[0])).name, str(command[1]).strip("-")])
        self.log = open(pathlib.Path(folder) / f"{name}.log", "w+")
        self.child = subprocess.Popen([str(part) for part in command], cwd=folder, stdout=self.log,
                                      stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})})

    def wait(self, what, ready, within=180):
        until = time.monotonic() + within
        while True:
            try:
                if ready():
                    return
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                pass
            if self.child.poll() is not None or time.monotonic() > until:
                self.log.seek(0)
                sys.exit(f"{what}: not within {within} s\n{self.log.read()[-4000:]}")
            time.sleep(0.1)

    def processor(self):
        """The processor seconds of the process and its descendants that live."""
        parents, ticks = {}, {}
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                parents[int(entry.name)] = int(fields[1])
                ticks[int(entry.name)] = int(fields[11]) + int(fields[12])
        own, found = {self.child.pid}, True
        while found:
            found = {pid for pid, parent in parents.items() if parent in own} - own
            own |= found
        return sum(ticks.get(pid, 0) for pid in own) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
        self.log.close()


def asked(port, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def question(customers):
    return json.dumps({"features": REFERENCES, "entities": {"customer_id": customers}})


def values(port, customers):
    """What a server answers of customers: by customer, by feature."""
    status, body = asked(port, "/get-online-features", question(customers))
    if status != 200:
        raise ValueError(f"{status}: {body[:500]}")
    answer = json.loads(body)
    names = answer["metadata"]["feature_names"]
    columns = {name: result["values"] for name, result in zip(names, answer["results"])}
    return [[columns[name][row] for name, _ in FEATURES] for row in range(len(customers))]


def payments(entities, events):
    """Payments whose ages are hours away from the edges of all windows, so that no value changes meanwhile."""
    dice = random.Random(7)
    now = datetime.datetime.now(datetime.timezone.utc)
    spans = [(1, 600), (2 * 3600, 20 * 3600), (30 * 3600, 6 * 86400), (8 * 86400, 13 * 86400), (15 * 86400, 29 * 86400)]
    number = 0
    for customer in range(entities):
        for place in range(events):
            # Few of the last minutes, most of the last weeks.
            first, last = spans[0] if place == 0 else spans[1 + place % 4]
            time_of = now - datetime.timedelta(seconds=dice.uniform(first, last))
            number += 1
            yield {"tx_id": number, "tx_time": time_of.isoformat().replace("+00:00", "Z"), "customer_id": customer,
                   "terminal_id": dice.randrange(5_000), "amount": round(dice.uniform(1, 120), 2),
                   "is_fraud": int(dice.random() < 0.02)}


def drive(port, in_flight, seconds, requests):
    """A closed loop over so many connections: latencies in seconds, and answers that were not 200."""
    selector = selectors.DefaultSelector()
    latencies, refused = [], 0
    asks = 0

    def ask(connection):
        nonlocal asks
        asks = (asks + 7919) % len(requests)
        connection["got"], connection["whole"] = b"", None
        connection["at"] = time.perf_counter()
        connection["socket"].sendall(requests[asks])

    for _ in range(in_flight):
        opened = socket.create_connection(("127.0.0.1", port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = {"socket": opened}
        selector.register(opened, selectors.EVENT_READ, connection)
        ask(connection)
    began = time.perf_counter()
    until = began + seconds
    waiting = in_flight
    while waiting:
        for key, _ in selector.select():
            connection = key.data
            part = connection["socket"].recv(1 << 18)
            if not part:
                sys.exit("a connection was closed under the load")
            connection["got"] += part
            if connection["whole"] is None:
                head, mark, _ = connection["got"].partition(b"\r\n\r\n")
                if not mark:
                    continue
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                connection["whole"] = len(head) + 4 + int(length[0].split(b":")[1])
            if len(connection["got"]) < connection["whole"]:
                continue
            now = time.perf_counter()
            if connection["got"].startswith(b"HTTP/1.1 200"):
                latencies.append(now - connection["at"])
            else:
                refused += 1
            if now < until:
                ask(connection)
            else:
                selector.unregister(connection["socket"])
                connection["socket"].close()
                waiting -= 1
    return latencies, refused, time.perf_counter() - began


def encoded(port, entities):
    requests = []
    for customer in range(entities):
        body = question([customer])
        head = (f"POST /get-online-features HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n")
        requests.append((head + body).encode())
    return requests


def usage(python, port, entities):
    """Bytes that Redis uses for each entity, in both formats, keys and their overhead included."""
    script = (
        "import redis, sys\n"
        f"r = redis.Redis(port={port})\n"
        "ours = theirs = 0\n"
        "for key in r.scan_iter(count=1000):\n"
        "    used = r.memory_usage(key, samples=0)\n"
        "    if key.startswith(b'tr:bench:r{'): ours += used\n"
        "    elif not key.startswith(b'tr:'): theirs += used\n"
        "print(ours, theirs)\n"
    )
    said = subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout
    ours, theirs = map(int, said.split())
    return ours / entities, theirs / entities


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--in-flight", default="1,16,64")
    parser.add_argument("--hop", action="store_true", help="windows whose left edge hops, by a minute to a day")
    arguments = parser.parse_args()
    venv = install()
    binary = os.environ.get("TIDERACE_BIN")
    if not binary:
        told = subprocess.run([ROOT / "scripts/tiderace", "--where"], check=True, capture_output=True, text=True)
        binary = told.stdout.strip()
    redis_port, grpc, http_port, feast_door, feast_port = free_ports(5)
    running = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            folder = pathlib.Path(folder)
            redis = Process(["redis-server", "--bind", "127.0.0.1", "--port", redis_port, "--save", ""], folder)
            running.append(redis)
            redis.wait("redis", lambda: socket.create_connection(("127.0.0.1", redis_port)).close() is None)

            project = folder / "project"
            project.mkdir()
            (project / "tiderace.yaml").write_text(
                f"project: bench\nonline: {{ redis: {{ url: \"redis://127.0.0.1:{redis_port}\" }} }}\n"
                f"serving: {{ grpc: \"127.0.0.1:{grpc}\", http: \"127.0.0.1:{http_port}\", "
                f"feast: \"127.0.0.1:{feast_door}\" }}\n")
            (project / "definitions.yaml").write_text(DEFINITIONS)
            with open(folder / "payments.jsonl", "w") as file:
                for payment in payments(arguments.entities, arguments.events):
                    file.write(json.dumps(payment) + "\n")
            replay = [binary, "replay", "--project", project, "--source", "card_payments", folder / "payments.jsonl"]
            subprocess.run([str(part) for part in replay], check=True, stdout=subprocess.DEVNULL)
            running.append(Process([binary, "worker", "--project", project], folder))
            ours = Process([binary, "serve", "--project", project], folder)
            running.append(ours)
            every = list(range(arguments.entities))
            portions = [every[first:first + 200] for first in range(0, len(every), 200)]

            def told(port):
                return [row for portion in portions for row in values(port, portion)]

            counts = [name for name, _ in FEATURES].index(f"tx_count_{NAMES[-1]}")
            wanted = arguments.entities * arguments.events
            ours.wait("all payments to be counted",
                      lambda: sum(row[counts] or 0 for row in told(feast_door)) == wanted)
            rows = told(feast_door)

            repository = folder / "feast"
            repository.mkdir()
            (repository / "feature_store.yaml").write_text(
                "project: bench\nprovider: local\nregistry: registry.db\n"
                f"online_store: {{ type: redis, connection_string: \"127.0.0.1:{redis_port}\" }}\n"
                "entity_key_serialization_version: 3\n")
            (repository / "rows.json").write_text(json.dumps({"features": FEATURES, "customers": every, "rows": rows}))
            environment = {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
            subprocess.run([str(venv / "bin/python"), "-c", FILL, str(repository), str(repository / "rows.json")],
                           check=True, cwd=repository, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
            # A worker is not made anew while it is measured, which is Feast's default every thousand requests.
            theirs = Process([venv / "bin/feast", "serve", "--host", "127.0.0.1", "--port", feast_port,
                              "--no-access-log", "--workers", "1", "--max-requests", "0"], repository, environment)
            running.append(theirs)
            theirs.wait("Feast", lambda: asked(feast_port, "/health")[0] == 200)

            unequal = sum(a != b for a, b in zip(told(feast_door), told(feast_port)))
            print(f"{arguments.entities} entities of {arguments.events} events, {len(FEATURES)} features each; "
                  f"{unequal} entities with an unequal value")
            if unequal:
                sys.exit("no ratio: the answers differ")
            bytes_ours, bytes_theirs = usage(venv / "bin/python", redis_port, arguments.entities)
            print(f"Redis bytes per entity: tiderace {bytes_ours:,.0f} (every event of it), Feast {bytes_theirs:,.0f} "
                  f"(the {len(FEATURES)} values)")

            if not arguments.rounds:
                return

            def over_http(port):
                requests = encoded(port, arguments.entities)
                return lambda in_flight: drive(port, in_flight, arguments.seconds, requests)

            def over_grpc(in_flight):
                words = [grpc, in_flight, arguments.seconds, arguments.entities, json.dumps(REFERENCES)]
                command = [str(venv / "bin/python"), "-W", "ignore", "-c", CALL, *map(str, words)]
                said = subprocess.run(command, check=True, capture_output=True, text=True)
                return json.loads(said.stdout)

            contenders = {"Feast, HTTP": (theirs, over_http(feast_port)), "tiderace, HTTP": (ours, over_http(feast_door)),
                          "tiderace, gRPC": (ours, over_grpc)}
            print("\n| in flight |  | requests/s | requests/CPU-s | p50 | p99 | not 200 |\n|---|---|---|---|---|---|---|")
            ratios = []
            for in_flight in map(int, arguments.in_flight.split(",")):
                rates, whole, quantiles = {}, {}, {}
                refused = dict.fromkeys(contenders, 0)
                latencies = {name: [] for name in contenders}
                for round_of in range(arguments.rounds + 1):
                    for name, (process, load) in contenders.items():
                        before = process.processor()
                        found, bad, took = load(in_flight)
                        spent = max(process.processor() - before, 0.01)
                        # The first round warms up.
                        if round_of:
                            rates.setdefault(name, []).append(len(found) / spent)
                            whole.setdefault(name, []).append(len(found) / took)
                            latencies[name].extend(found)
                            refused[name] += bad
                for name in contenders:
                    all_of = sorted(latencies[name])
                    at = [all_of[int(len(all_of) * share)] * 1e3 for share in (0.5, 0.99)]
                    quantiles[name] = at
                    print(f"| {in_flight} | {name} | {statistics.median(whole[name]):,.0f} | "
                          f"{statistics.median(rates[name]):,.0f} | {at[0]:.2f} ms | {at[1]:.2f} ms | {refused[name]} |")
                feast, *own = contenders
                for name in own:
                    times = statistics.median(a / b for a, b in zip(rates[name], rates[feast]))
                    p50, p99 = (quantiles[feast][at] / quantiles[name][at] for at in (0, 1))
                    ratios.append(f"{in_flight} in flight, {name}: {times:.0f} times the requests per CPU-second of "
                                  f"Feast {FEAST}; p50 1/{p50:.0f}, p99 1/{p99:.1f} of its")
            print("\n" + "\n".join(ratios))
        finally:
            for process in reversed(running):
                process.stop()


if __name__ == "__main__":
    main()
