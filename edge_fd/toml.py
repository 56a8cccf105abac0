"""Plain values as TOML text; the standard library only reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(tree: Mapping[str, Any], path: str = "") -> str:
    """Return ``tree`` as TOML, tables below ``path``; lists of tables become [[tables]]."""
    plain = {k: v for k, v in tree.items() if not isinstance(v, dict) and not _is_tables(v)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    text = "\n".join(lines) + ("\n" if lines else "")
    for key, value in tree.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            body = dumps(value, name)
            text += f"\n[{name}]\n{body}" if body else ""
        elif _is_tables(value):
            text += "".join(f"\n[[{name}]]\n{dumps(item, name)}" for item in value)
    return text


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's; TOML wants one for DEL as well.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)
