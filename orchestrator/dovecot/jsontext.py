"""JSON as Dovecot reads and writes it: compact, UTF-8; by orjson where it is installed, the standard library otherwise.

Both write the same text for what is sent here: text without control characters, whole numbers, booleans, lists.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

loads: Callable[[bytes | str], Any]
dumps: Callable[[Any], str]

try:
    import orjson
except ImportError:
    loads = json.loads
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
else:
    loads = orjson.loads

    def dumps(value: Any) -> str:
        """A value as compact JSON text."""
        return orjson.dumps(value).decode()
