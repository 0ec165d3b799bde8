"""Bytes that pydicom may read in so many pieces only: it makes an object of each element."""

from io import BytesIO
from typing import Final

from serve_app.errors import InvalidFormat

__all__ = ["MOST_PIECES", "Pieces", "too_many_pieces"]

MOST_PIECES: Final = 50_000


def too_many_pieces() -> InvalidFormat:
    """The error for what has far more elements than any recording."""
    return InvalidFormat("The DICOM file has far more elements than a recording.")


class Pieces(BytesIO):
    """A file in memory.

    Raises:
        InvalidFormat: From `read`, once more than `MOST_PIECES` pieces were asked for.
    """

    pieces = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes."""
        self.pieces += 1
        if self.pieces > MOST_PIECES:
            raise too_many_pieces()
        return super().read(size)
