"""The generated code is what `proto/` says now."""

from pathlib import Path

from generate import HERE, generate


def test_it_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    generate(tmp_path)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    held = HERE / "src/tiderace/v1"
    assert len(made) == 10
    assert made == {path.relative_to(HERE / "src"): path.read_bytes() for path in held.glob("*.py*")}
