"""Texts that a caller keeps for us and brings back: cursors.

They are not secret, nor proof against malice: what is in one is only what its caller could have asked for anyway.
So whoever opens one checks what it says, as of any input.
"""

import base64
import hashlib

DIGEST_BYTES = 16


def hashed(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def sealed(content: bytes, of: bytes) -> str:
    """The content as a text that only opens together with the same `of`, what it belongs to."""
    return base64.urlsafe_b64encode(hashed(of + content) + content).decode()


def opened(text: str, of: bytes) -> bytes | None:
    """The inverse of `sealed`; None for a text that it did not make with that `of`."""
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
    except ValueError:  # also for letters beyond ASCII
        return None
    content = data[DIGEST_BYTES:]
    return content if data[:DIGEST_BYTES] == hashed(of + content) else None
