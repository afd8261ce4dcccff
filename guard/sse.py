"""Server-sent events: bytes in, payloads of complete events out.

The parsing of the HTML standard ("Interpreting an event stream"): lines end in LF, CR or CRLF, a blank line ends an event, the
values of its ``data`` lines are joined by LF, comments and other fields are passed over, one byte-order mark at the start is
ignored. Works on bytes, so a character split over two chunks does no harm.

Memory is bounded: of an event whose data are beyond ``max_event_bytes`` only the size is kept, so that a splitter holds at
most twice that (the open event's lines and the line that has no end yet).
"""

from __future__ import annotations

from typing import Final

MAX_EVENT_BYTES: Final = 1024 * 1024
_MARK: Final = b"\xef\xbb\xbf"
_FIELD: Final = b"data:"
_FIELD_BYTES: Final = len(b"data: ")


class Splitter:
    """Splits one stream. ``skipped_bytes`` is the size of the data that were too large to keep."""

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_data_bytes",
        "_dropped_bytes",
        "_most_bytes",
        "_rest",
        "_values",
        "skipped_bytes",
    )

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._most_bytes = max_event_bytes
        self._at_start = True
        self._after_cr = False
        # The line that has no end yet; of one that is too long only its beginning, and how much was dropped.
        self._rest = b""
        self._dropped_bytes = 0
        # The open event: its data lines, and their size with a line feed each. No lines are held once that is too much.
        self._values: list[bytes] = []
        self._data_bytes = 0
        self.skipped_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads of the events that ``chunk`` completes."""
        if self._after_cr or b"\r" in chunk:
            chunk = self._line_feeds(chunk)
        buffer = self._rest + chunk if self._rest else chunk
        if self._at_start:
            if len(buffer) < len(_MARK) and _MARK.startswith(buffer):
                self._rest = buffer
                return []
            self._at_start = False
            buffer = buffer.removeprefix(_MARK)
        lines = buffer.split(b"\n")
        rest = lines.pop()
        if self._dropped_bytes and lines:
            lines[0] = self._end_long_line(lines[0])
        payloads: list[bytes] = []
        values, most_bytes, data_bytes = self._values, self._most_bytes, self._data_bytes
        for line in lines:
            if not line:
                if data_bytes > most_bytes:
                    self.skipped_bytes += data_bytes
                elif data_bytes:
                    payloads.append(values[0] if len(values) == 1 else b"\n".join(values))
                values.clear()
                data_bytes = 0
            elif line[:5] == _FIELD or line == b"data":
                value = line[6:] if line[5:6] == b" " else line[5:]
                data_bytes += len(value) + 1
                if data_bytes <= most_bytes:
                    values.append(value)
                else:
                    values.clear()
        self._data_bytes = data_bytes
        if self._dropped_bytes or len(rest) > most_bytes + _FIELD_BYTES:
            self._dropped_bytes += len(rest) - _FIELD_BYTES
            rest = rest[:_FIELD_BYTES]
        self._rest = rest
        return payloads

    def between_events(self) -> bool:
        """Whether no event is open: what is written now begins one."""
        return not self._rest and not self._data_bytes

    def finish(self) -> bytes:
        """The payload of the event that the end of the stream cut off (``b""``: none).

        The standard throws that event away. Its bytes were sent, though, and some servers forget the last blank line.
        """
        payloads = self.feed(b"\n\n")
        return payloads[0] if payloads else b""

    def _end_long_line(self, line: bytes) -> bytes:
        """Books a line of which a part was dropped; what stands in its place has no effect."""
        line_bytes = len(line) + self._dropped_bytes
        self._dropped_bytes = 0
        if line.startswith(_FIELD):
            self._data_bytes += line_bytes - (_FIELD_BYTES if line[5:6] == b" " else len(_FIELD)) + 1
            self._values.clear()
        return b":"

    def _line_feeds(self, chunk: bytes) -> bytes:
        """``chunk`` with every line end as LF; the LF of a CRLF that the border of two chunks splits is dropped."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if chunk.endswith(b"\r"):
            self._after_cr = True
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Frames:
    """Cuts one stream into whole events, each with all its bytes and its blank line; line ends become LF where they aren't,
    a byte-order mark at the start is left out.

    ``rest`` is what has no end yet. It is not bounded here: whoever feeds it looks at its size.
    """

    __slots__ = ("_after_cr", "_begun", "rest")

    def __init__(self) -> None:
        self.rest = bytearray()
        self._begun = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that ``chunk`` completes."""
        if self._after_cr or b"\r" in chunk:
            if self._after_cr and chunk:
                self._after_cr = False
                chunk = chunk.removeprefix(b"\n")
            self._after_cr = self._after_cr or chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        rest = self.rest
        seek = max(0, len(rest) - 1)
        rest += chunk
        frames = []
        start = 0
        while (end := rest.find(b"\n\n", max(seek, start))) >= 0:
            frames.append(bytes(rest[start : end + 2]))
            start = end + 2
        del rest[:start]
        if frames and not self._begun:
            self._begun = True
            frames[0] = frames[0].removeprefix(_MARK)
        return frames
