"""What stands in a text and in other accounts' texts too: a template is found again wherever in a text it stands.

A sketch (``sketch.py``) keeps a few traits of a text, whatever its length: of a template in the midst of filler none as a rule. So of a
text longer than ``sketch.LONG_BYTES`` one in ``sketch.PASSED`` *passages* is looked at, and what another account has shown before is a trait.

Specification, version 1 (a faster implementation can replace this one bit for bit):

* The table has 2²⁰ cells. A passage stands in the cell of its lowest 20 bits, with its upper 44 bits, 12 bits of the account that showed
  it (the lowest of the CRC-32 of its key), whether another one did as well, and a count up to 127.
* The passages of a text are looked up and booked one after the other. One that is there is counted, and marked if its account is another
  one. One whose cell is another's takes it if that one's count is at most 1; else it lowers the count (Misra and Gries 1982): what
  comes again and again outlives what comes once.
* *Traits* are the passages that are marked. They come in stretches (one directly after another among those looked at), each cut into
  pieces of ``PIECE``; of each piece the lowest, and of all pieces the lowest ``MOST_TRAITS`` different ones, in order.

Cost: about 0.2 µs a passage. Of the table's 8 MiB only what is used is taken from the system.
"""

from __future__ import annotations

from mmap import mmap
from zlib import crc32

PIECE = 4
MOST_TRAITS = 8
_CELLS = 1 << 20
_PLACE = _CELLS - 1
_TAG, _WHOSE, _SHARED, _COUNT = 0xFFFF_FFFF_FFF0_0000, 0xFFF00, 0x80, 0x7F


class Passages:
    """The passages that accounts have shown. In memory only: after a restart two accounts must show one anew."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells = memoryview(mmap(-1, 8 * _CELLS)).cast("Q")

    def met(self, passages: bytes, account: str) -> list[int]:
        """The traits of a text, and books its ``passages`` (``Sketch.passages``) as shown by ``account``."""
        cells = self._cells
        mine = (crc32(account.encode()) & 0xFFF) << 8
        once = mine | 1
        lowest: list[int] = []
        held = 0
        for passage in memoryview(passages).cast("Q"):
            place = passage & _PLACE
            cell = cells[place]
            if (cell ^ passage) > _PLACE:
                count = cell & _COUNT
                cells[place] = cell - 1 if count > 1 else passage & _TAG | once
                held = 0
                continue
            if cell & _COUNT < _COUNT:
                cell += 1
            if cell & _SHARED or cell & _WHOSE != mine:
                cell |= _SHARED
                if held % PIECE == 0:
                    lowest.append(passage)
                elif passage < lowest[-1]:
                    lowest[-1] = passage
                held += 1
            else:
                held = 0
            cells[place] = cell
        return sorted(set(lowest))[:MOST_TRAITS]
