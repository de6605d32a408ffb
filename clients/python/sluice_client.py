"""A producer for sluice: rows with acks over the daemon's Unix socket, in the framed dialect
(docs/specs/producer-protocol.md). Standard library only; one thread, one socket.

    producer = Producer("/run/sluice/sluice.sock", name="web-7", epoch=time.time_ns())
    producer.send([{"table": "events", "id": 1}])
    producer.close()

What is not acked is kept, at most `buffer_bytes_max` of it, and sent again on a new connection. With a name nothing is
taken twice. `on_rejected(number, reason, column, message)` hears of rows that the daemon refused: they are in its dead
letter. Acks are read whenever rows are sent; a program that pauses for long calls `poll()` now and then.
"""

import argparse
import collections
import json
import random
import select
import socket
import struct
import sys
import time
import zlib

PREAMBLE = b"\xf5SLUICE\x01"
HEADER = struct.Struct("<IBBHQII")  # length, kind, flags, reserved, number, checksum, count
HELLO, DATA, PING, BYE = 1, 2, 3, 4
WELCOME, ACK, NACK, PONG, ERROR = 65, 66, 67, 68, 69
ANSWER_BYTES_MAX = 64 << 10
RETRY_AFTER_MAX = 300.0  # seconds that a daemon can make us wait with one answer
RETRIABLE = {"stopping", "taken_over", "spool_full", "rate_limit", "idle_timeout", "slow_reader", "incomplete"}


class Refused(Exception):
    """The daemon will not have it; trying again would not help."""


class TryLater(OSError):
    """The daemon wants to hear nothing for `seconds`."""

    def __init__(self, text, seconds):
        super().__init__(text)
        self.seconds = seconds


class Frame:
    """Rows that are not acked, and the number of the first."""

    def __init__(self, first, rows, payload):
        self.first, self.rows, self.payload = first, rows, payload

    @property
    def last(self):
        return self.first + self.rows - 1


class Producer:
    def __init__(self, path, name=None, epoch=0, ack="durable", table=None, buffer_bytes_max=16 << 20,
                 frame_bytes_max=256 << 10, retry_delay_max=5.0, give_up_after=None, on_rejected=None):
        self.path, self.name, self.epoch, self.ack, self.table = path, name, epoch, ack, table
        self.buffer_bytes_max, self.frame_bytes_max = buffer_bytes_max, frame_bytes_max
        self.retry_delay_max, self.give_up_after = retry_delay_max, give_up_after
        self.on_rejected = on_rejected or (lambda number, reason, column, message: None)
        self.rejections = 0
        self.connections = 0
        self._frames = collections.deque()  # oldest first
        self._unsent = 0  # how many of the last frames this connection was not sent yet
        self._bytes = 0
        self._acked = self._last = 0  # numbers as send() gives them
        self._base = 0  # number = number on the wire + base
        self._credit = self._sent_bytes = 0
        self._socket = None
        self._input = b""
        self._output = b""
        self._heard = self._said = 0.0
        self._fresh = True

    # What a program calls.

    def connect(self):
        """Opens a session; returns the number of the last row that the daemon has already."""
        while self._socket is None:
            self._reconnect("")
        return self._acked

    def send(self, rows):
        """Takes rows: bytes of whole lines, or things that become JSON objects. Waits while the buffer is full."""
        if not isinstance(rows, (bytes, bytearray)):
            rows = b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows)
        if rows and not rows.endswith(b"\n"):
            rows += b"\n"
        self.connect()
        start = 0
        while start < len(rows):
            end = rows.rfind(b"\n", start, start + self.frame_bytes_max) + 1 or rows.index(b"\n", start) + 1
            payload = bytes(rows[start:end])
            while self._bytes and self._bytes + len(payload) > self.buffer_bytes_max:
                self._step(1.0)
            count = payload.count(b"\n")
            self._frames.append(Frame(self._last + 1, count, payload))
            self._unsent += 1
            self._last += count
            self._bytes += len(payload)
            start = end
            self._step(0)
        return self._last

    def poll(self):
        """Reads what the daemon said, without waiting."""
        self._step(0)

    def flush(self):
        """Waits until all rows are acked."""
        while self._acked < self._last:
            self._step(1.0)

    def close(self):
        """Waits until all rows are acked, and ends the session."""
        self.flush()
        if self._socket is None:
            return
        try:
            self._socket.setblocking(True)
            self._socket.settimeout(5)
            self._socket.sendall(self._output + HEADER.pack(0, BYE, 0, 0, self._last - self._base, 0, 0))
            while self._socket.recv(65536):
                pass
        except OSError:
            pass
        self._disconnect()

    # The connection.

    def _reconnect(self, why, wait=0.0):
        """Until there is a session again. Raises Refused if there will be none."""
        self._disconnect()
        began, delay = time.monotonic(), 0.05
        time.sleep(min(wait, RETRY_AFTER_MAX))
        while True:
            try:
                self._open()
                return
            except OSError as error:
                why, wait = str(error), getattr(error, "seconds", 0.0)
                self._disconnect()
            if self.give_up_after is not None and time.monotonic() - began >= self.give_up_after:
                raise Refused("no session with the daemon: " + why)
            time.sleep(max(delay * random.uniform(0.5, 1), min(wait, RETRY_AFTER_MAX)))
            delay = min(delay * 2, self.retry_delay_max)

    def _open(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(45)
        self._socket.connect(self.path)
        fields = {"ack": self.ack, "format": "ndjson", "client": "python"}
        if self.name:
            fields["producer"] = self.name
        if self.table:
            fields["table"] = self.table
        payload = "".join(f"{key}={value}\n" for key, value in fields.items()).encode()
        epoch = self.epoch if self.name else 0
        try:
            self._socket.sendall(PREAMBLE + HEADER.pack(len(payload), HELLO, 0, 0, epoch, 0, 0) + payload)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a daemon that does not let us in says why, and closes
        # Other frames may come only after the answer.
        while (frame := self._next_frame()) is None:
            self._read()
        self._heard = self._said = time.monotonic()
        kind, number, count, fields = frame
        if kind != WELCOME:
            self._fail(fields)
        self._credit, self._sent_bytes, self._unsent = count, 0, len(self._frames)
        self._resume(number)
        self.connections += 1
        self._socket.setblocking(False)

    def _resume(self, number):
        """Drops what the daemon has, so that the rest can be sent again."""
        if not self.name:
            self._base = self._acked  # numbers begin anew with each session
        elif self._fresh:
            self._acked = self._last = number
            self._fresh = False
        elif number < self._acked:
            # It acked more than it knows now: it crashed ("received"), or forgot the name. One that knows nothing lets us
            # go on where we are; another would see a gap, unless the epoch is new to it.
            if number:
                self.epoch += 1
                raise OSError("the daemon forgot rows that it had acked")
        elif number > self._last:
            raise Refused("somebody else sends rows under this name and epoch")
        else:
            self._drop(number)
        first = self._frames[0] if self._frames else None
        if first and first.first <= self._acked:  # acked in part
            rows = self._acked - first.first + 1
            end = 0
            for _ in range(rows):
                end = first.payload.index(b"\n", end) + 1
            self._frames[0] = Frame(first.first + rows, first.rows - rows, first.payload[end:])
            self._bytes -= end

    def _disconnect(self):
        if self._socket is not None:
            self._socket.close()
        self._socket, self._input, self._output = None, b"", b""

    # Frames.

    def _step(self, wait):
        """Writes what may be written, reads what is there; waits for either at most so long."""
        try:
            if self._socket is None:
                self._reconnect("")
            self._fill()
            readable, writable, _ = select.select(
                [self._socket], [self._socket] if self._output else [], [], wait if self._acked < self._last else 0)
            if writable:
                sent = self._socket.send(self._output)
                self._output, self._said = self._output[sent:], time.monotonic()
            if readable:
                self._read()
                while (frame := self._next_frame()) is not None:
                    self._take(*frame)
            now = time.monotonic()
            if now - self._heard > 45:
                raise OSError("the daemon says nothing")
            if now - self._said > 15 and not self._output:
                self._output, self._said = HEADER.pack(0, PING, 0, 0, 0, 0, 0), now
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            # What the daemon said last may tell why.
            try:
                while self._socket is not None and (frame := self._next_frame()) is not None:
                    self._take(*frame)
            except OSError as last:
                error = last
            self._reconnect(str(error), getattr(error, "seconds", 0.0))

    def _fill(self):
        while self._unsent and not self._output:
            frame = self._frames[-self._unsent]
            if self._sent_bytes and self._sent_bytes + len(frame.payload) > self._credit:
                return
            self._output = HEADER.pack(len(frame.payload), DATA, 1, 0, frame.first - self._base,
                                       zlib.crc32(frame.payload), frame.rows) + frame.payload
            self._unsent -= 1
            self._sent_bytes += len(frame.payload)

    def _read(self):
        try:
            data = self._socket.recv(65536)
        except ConnectionResetError:
            # A daemon that does not let us in says why, and closes without reading.
            if not self._input.startswith(b"error: "):
                raise
            data = b""
        if not data:
            said = self._input.partition(b"\n")[0].decode(errors="replace")
            if said.startswith("error: not_allowed: "):
                raise Refused(said[len("error: "):])
            raise OSError(said if said.startswith("error: ") else "the daemon closed the connection")
        self._input += data
        self._heard = time.monotonic()

    def _next_frame(self):
        if len(self._input) < HEADER.size or self._input.startswith(b"error: "):
            return None
        length, kind, flags, _, number, checksum, count = HEADER.unpack_from(self._input)
        if length > ANSWER_BYTES_MAX:
            raise OSError("a frame of the daemon is too long")
        if len(self._input) < HEADER.size + length:
            return None
        payload = self._input[HEADER.size:HEADER.size + length]
        self._input = self._input[HEADER.size + length:]
        if flags & 1 and zlib.crc32(payload) != checksum:
            raise OSError("the checksum of a frame is wrong")
        fields = dict(line.split("=", 1) for line in payload.decode().splitlines() if "=" in line)
        return kind, number, count, fields

    def _take(self, kind, number, count, fields):
        if kind == ACK:
            self._drop(min(number + self._base, self._last))
        elif kind == NACK and number == 0:
            self.rejections += count
        elif kind == NACK:
            self.rejections += 1
            self.on_rejected(number + self._base, fields.get("reason"), fields.get("column"), fields.get("message"))
        elif kind == ERROR:
            self._fail(fields)
        elif kind != PONG and kind < 128:
            raise OSError(f"the daemon sent a frame of kind {kind}")

    def _fail(self, fields):
        text = f"{fields.get('code')}: {fields.get('message')}"
        if fields.get("code") not in RETRIABLE:
            raise Refused(text)
        wait = fields.get("retry_after_ms", "")
        raise TryLater(text, int(wait) / 1000 if wait.isdigit() else 0.0)

    def _drop(self, number):
        self._acked = max(self._acked, number)
        while self._frames and self._frames[0].last <= self._acked:
            was_sent = self._unsent < len(self._frames)
            frame = self._frames.popleft()
            self._bytes -= len(frame.payload)
            if was_sent:
                self._sent_bytes -= len(frame.payload)
            else:
                self._unsent -= 1


def main():
    parser = argparse.ArgumentParser(description="Sends lines of JSON from standard input to sluice, with acks.")
    parser.add_argument("socket")
    parser.add_argument("--name")
    parser.add_argument("--epoch", type=int, default=0)
    parser.add_argument("--ack", default="durable", choices=["received", "durable", "committed"])
    parser.add_argument("--table")
    parser.add_argument("--buffer-bytes-max", type=int, default=16 << 20)
    parser.add_argument("--frame-bytes-max", type=int, default=256 << 10)
    options = parser.parse_args()
    producer = Producer(
        options.socket, options.name, options.epoch, options.ack, options.table, options.buffer_bytes_max,
        options.frame_bytes_max,
        on_rejected=lambda number, reason, column, message: print(
            f"row {number} rejected: {reason}: {message}", file=sys.stderr))
    skip = producer.connect() if options.name else 0  # rows that an earlier run sent
    for number, line in enumerate(sys.stdin.buffer, 1):
        if number > skip:
            producer.send(line)
    producer.close()
    print(f"acked {producer._acked} rejected {producer.rejections} connections {producer.connections}")
    return 65 if producer.rejections else 0


if __name__ == "__main__":
    sys.exit(main())
