"""Writes `src/tiderace/v1` from `proto/tiderace`: messages, and their types for checkers.

    python generate.py [FOLDER]

What it writes is committed, so that whoever installs the package needs no compiler. It is made by
the `grpcio-tools` that `requirements.txt` pins, and a test makes it again and compares the bytes.
An older compiler is pinned on purpose: what it writes runs with every later protobuf of this major
version and of the next.
"""

import sys
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).parent
PROTO = HERE.parents[1] / "proto"


def generate(folder: Path) -> None:
    """Writes the modules below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(str(path.relative_to(PROTO)) for path in (PROTO / "tiderace").rglob("*.proto"))
    includes = [f"-I{PROTO}", f"-I{resources.files('grpc_tools') / '_proto'}"]
    outputs = [f"--python_out={folder}", f"--pyi_out={folder}"]
    if protoc.main(["protoc", *includes, *outputs, *files]) != 0:
        raise SystemExit(f"protoc could not read {PROTO}; what is wrong stands above")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "src")
