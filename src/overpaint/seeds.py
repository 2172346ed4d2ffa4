"""Where every seed comes from."""

from __future__ import annotations

from hashlib import blake2b
from operator import index

SEED_BITS = 63


def derive_seed(seed: int, *parts: str | int | bytes) -> int:
    """A seed in [0, 2**63) that depends on `seed` and on every one of `parts`.

    Same arguments, same seed, on any machine and in any order of calls. Each part is
    hashed with its type and length, so `("ab", "c")`, `("a", "bc")` and `(1,)`, `("1",)`
    all differ.
    """
    digest = blake2b(digest_size=8)
    for part in (seed, *parts):
        tag, data = _encode(part)
        digest.update(tag + len(data).to_bytes(8, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> (64 - SEED_BITS)


def _encode(part: str | int | bytes) -> tuple[bytes, bytes]:
    if isinstance(part, bytes):
        return b"b", part
    if isinstance(part, str):
        return b"s", part.encode()
    return b"i", str(index(part)).encode()  # NumPy's integers too
