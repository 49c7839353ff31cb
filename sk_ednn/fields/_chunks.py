"""Chunks of arrays in stores, and what to do where one is missing."""

from __future__ import annotations

from itertools import product

# The end of a message that names what is missing.
FILL = (
    "say so with missing_chunks='fill' (of ArraySource or read_pictures, or --missing-chunks fill "
    "of sk-ednn count); otherwise it was lost"
)


def chunks_in(slices, chunks):
    """Yield the index of each chunk that a box touches."""
    return product(
        *(
            range(part.start // n, -(-part.stop // n))
            for part, n in zip(slices, chunks, strict=True)
        )
    )
