"""Flow: values as YAML in flow style, on one line, as documentation shows them.

{addresses: [10.0.0.1/24, "fd00:10::1/64"], internal: true}
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from reconciler.manifest.scalar import parse_plain

_PLAIN = re.compile(r"[A-Za-z0-9/.$][A-Za-z0-9/._+@;$-]*(:[A-Za-z0-9/._+@;$-]+)*")


def render_flow(value: object) -> str:
    """Write a value of JSON as YAML that is read as the same value; its text must be printable."""
    if isinstance(value, Mapping):
        items = (f"{render_flow(key)}: {render_flow(item)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(render_flow(item) for item in value)}]"
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and type(parse_plain(text)) is str
