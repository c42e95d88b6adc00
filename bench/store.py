"""One JSON file holds all that was measured; a part that is measured again is replaced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .report import Record
from .timing import Timing

Document = dict[str, dict[str, Any]]  # of each part: "machine", and what it measured


def load(path: Path) -> Document:
    """Return the parts of a results file; none if there is no such file, or one of another form."""
    if not path.exists():
        return {}
    return json.loads(path.read_text()).get("parts", {})


def put(path: Path, part: str, content: dict[str, Any]) -> None:
    """Write a part; the others stay."""
    document = load(path)
    document[part] = content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"parts": document}, indent=1))
    print(f"{part}: written to {path}")


def records(document: Document, part: str = "layers") -> list[Record]:
    """Return the timings of a part."""
    found = []
    for row in document.get(part, {}).get("records", []):
        timing = row["timing"]
        found.append(Record(**{**row, "timing": Timing(**timing) if timing else None}))
    return found
