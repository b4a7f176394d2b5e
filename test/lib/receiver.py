#!/usr/bin/env python3
"""receiver.py
    An HTTP receiver whose behaviour is chosen by the path of each request.

usage: receiver.py --port-file FILE --log FILE [--host 127.0.0.1] [--port 0] [--show]

It writes raw bytes to raw streams, so that answers no web server would give
are possible.  Listens on a free port, which it writes to the port file once it
accepts connections.  Appends to the log one JSON object a line for every
request that was read in full, before it answers, in one write:

    time     Unix time at which the request was complete
    method, path, headers (names in lower case; of repeated ones the last), body
    base64   true: the body is not UTF-8 and is given in base64
    task     value of X-Task-Id or null
    seen     how many requests with this path and task came before
    connection  number of the TCP connection, from 1

With --show it also prints a line for people.

Paths, arguments may be followed by ?name=value:
    /ok             200 and a small JSON body
    /echo           200 and the request's body
    /status/CODE    CODE; ?ra=VALUE adds Retry-After, ?location=URL Location
    /fail/N         500 to the first N requests of each task, then 200
    /slow/MS        200 after MS milliseconds; ?status=CODE another one
    /hang           never answered; held until the peer leaves
    /hang/N         the first N requests of each task as /hang, then 200
    /half           the head and half of the promised body, then as /hang
    /reset          the connection is reset
    /close          the connection is closed without an answer
    /short          closed after half of the promised body
    /bytes/N        200 and N bytes of body
    /headers/N      200 and N more headers of 100 bytes
    /drip/MS        200, then one byte of body every MS milliseconds, for ever
    /chunked        200, a small chunked body
    /chunked-endless  200, chunks for ever
    /garbage        bytes that are not HTTP
    /badlength      200 with two differing Content-Length
    /nul            200, a body with every byte value, NUL first
    /gzip           200, claims Content-Encoding: gzip, body is not gzip
    /twice          200, and right after it another answer to nothing
    /leave          200; the connection is closed when the next request begins
    /closing/MS     200; the connection is closed MS milliseconds later
    /raw/NAME       what is called so below, and the connection is closed
    anything else   404

Ends on SIGTERM and SIGINT, when its standard input is a pipe and ends, and when
its parent dies.
"""
import argparse
import asyncio
import base64
import collections
import ctypes
import json
import os
import signal
import socket
import stat
import struct
import sys
import time
import urllib.parse

MAX_HEAD = 1 << 20
PR_SET_PDEATHSIG = 1

REASONS = {200: "OK", 404: "Not Found", 410: "Gone", 429: "Too Many Requests",
           500: "Internal Server Error", 503: "Service Unavailable"}


OK = b"HTTP/1.1 200 OK\r\n"
CLOSE = b"Connection: close\r\n"


def raw_slow_head():
    yield OK
    for byte in b"X-Slow: " + b"s" * 1000:
        yield bytes([byte])
        yield 0.05


def raw_endless_head():
    yield OK
    while True:
        yield b"X-Endless: " + b"e" * 1000 + b"\r\n"


def raw_endless_continue():
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 100


def raw_endless_body():
    yield OK + b"Content-Length: 1073741824\r\n\r\n"
    while True:
        yield b"x" * 65536


def raw_endless_extension():
    yield OK + b"Transfer-Encoding: chunked\r\n\r\n1;name="
    while True:
        yield b"e" * 65536


# Pieces: bytes to be sent, or seconds to wait.  The last ones tell how the end comes.
# What is a whole answer says that the connection closes: else the next request, not
# this one, could meet the end.
RAW = {
    "slow-head": raw_slow_head,
    "endless-head": raw_endless_head,
    "endless-continue": raw_endless_continue,
    "endless-body": raw_endless_body,
    "endless-extension": raw_endless_extension,
    "long-line": lambda: [OK + b"X-Long: " + b"l" * 100000 + b"\r\nContent-Length: 0\r\n\r\n"],
    "cookies": lambda: [OK + b"Set-Cookie: a=b\r\n" * 100000 + b"Content-Length: 0\r\n\r\n"],
    "continues": lambda: [b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
                          OK + CLOSE + b"Content-Length: 2\r\n\r\nok"],
    "huge-length": lambda: [OK + b"Content-Length: 9000000000000000000\r\n\r\n", b"x" * 100000],
    "overflowing-length": lambda: [OK + CLOSE + b"Content-Length: 99999999999999999999\r\n\r\nx"],
    "negative-length": lambda: [OK + b"Content-Length: -5\r\n\r\nhello"],
    "wrong-length": lambda: [OK + b"Content-Length: five\r\n\r\nhello"],
    "chunk-overflow": lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\n",
                               b"FFFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"],
    "bad-chunk": lambda: [OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"],
    "gzip-transfer": lambda: [OK + CLOSE + b"Transfer-Encoding: gzip, chunked\r\n\r\n"
                              b"3\r\nabc\r\n0\r\n\r\n"],
    "no-http": lambda: [b"<html>just a page</html>\n"],
    "status-099": lambda: [b"HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"],
    "status-1000": lambda: [b"HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n"],
    "status-text": lambda: [b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"],
    "upgrade": lambda: [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: odd\r\n\r\n",
                        b"\x00\x01\x02"],
    "no-content": lambda: [b"HTTP/1.1 204 No Content\r\n" + CLOSE + b"\r\nbut there is some"],
    "long-reason": lambda: [b"HTTP/1.1 500 " + b"r" * 10000 + b"\r\n" + CLOSE + b"Content-Length: 0\r\n\r\n"],
    "escapes": lambda: [b"HTTP/1.1 500 \x1b[31mred\x1b[0m\r\nX-Esc: \x1b]0;title\x07\r\n"
                        b"X-High: \xff\xfe\xc3\xa4\r\n" + CLOSE + b"Content-Length: 3\r\n\r\n\x1b\x00\xff"],
    "nul-in-head": lambda: [OK + b"X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nok"],
    "high-bytes": lambda: [OK + b"X-High: \xff\xfe\xc3\xa4\xed\xa0\x80\r\n" + CLOSE +
                           b"Content-Length: 256\r\n\r\n" + bytes(range(256))],
    "nothing": lambda: [],
}


class Request:
    """One request as it was read, and how to answer it."""

    def __init__(self, method, target, headers, body):
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        url = urllib.parse.urlsplit(target)
        self.path = url.path
        self.query = dict(urllib.parse.parse_qsl(url.query))
        parts = url.path.strip("/").split("/")
        self.program = parts[0]
        self.argument = int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0
        self.task = headers.get("x-task-id")

    def as_log(self, seen, connection):
        try:
            body, encoded = self.body.decode("utf-8"), False
        except UnicodeDecodeError:
            body, encoded = base64.b64encode(self.body).decode(), True
        return {"time": time.time(), "method": self.method, "path": self.target,
                "headers": self.headers, "body": body, "base64": encoded,
                "task": self.task, "seen": seen, "connection": connection}


async def read_request(reader, writer):
    """The next request of a connection, or None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    lines = head.decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ", 2)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


async def read_chunks(reader):
    body = b""
    while True:
        size = int((await reader.readline()).split(b";")[0], 16)
        body += await reader.readexactly(size)
        await reader.readline()
        if size == 0:
            return body


def answer(status, body=b"", headers=(), length=None):
    """The bytes of an ordinary answer; length is what Content-Length claims."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}",
             f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def show(request):
    """A line for people, of what taskq sends."""
    now = time.time()
    clock = time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now * 1000) % 1000:03}"
    attempt = request.headers.get("x-task-attempt", "-")
    body = request.body.decode("utf-8", "backslashreplace")
    print(f"{clock}  {request.method} {request.target:<12} task {request.task or '-'},"
          f" attempt {attempt}  {body[:60]}", flush=True)


class Receiver:
    def __init__(self, log, shown):
        self.log = log
        self.shown = shown
        self.seen = collections.Counter()
        self.connections = 0

    def record(self, request, connection):
        key = (request.path, request.task)
        seen = self.seen[key]
        self.seen[key] += 1
        line = json.dumps(request.as_log(seen, connection)) + "\n"
        os.write(self.log, line.encode())
        if self.shown:
            show(request)
        return seen

    async def serve(self, reader, writer):
        self.connections += 1
        connection = self.connections
        try:
            while (request := await read_request(reader, writer)) is not None:
                seen = self.record(request, connection)
                if not await self.reply(request, seen, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def reply(self, request, seen, reader, writer):
        """Answers as the path says; False: the connection is done."""
        odd = getattr(self, "do_" + request.program.replace("-", "_"), None)
        held = request.program != "hang" or not request.argument or seen < request.argument
        if odd is not None and held:
            return await odd(request, reader, writer)
        if request.program == "slow":
            await asyncio.sleep(request.argument / 1000)
        writer.write(self.plain(request, seen))
        await writer.drain()
        return request.headers.get("connection", "").lower() != "close"

    @staticmethod
    def plain(request, seen):
        """Answers that any web server could give."""
        n = request.argument
        if request.program in ("ok", "slow", "hang") or (request.program == "fail" and seen >= n):
            return answer(int(request.query.get("status", 200)), b'{"ok": true}\n', [("Content-Type", "application/json")])
        if request.program == "fail":
            return answer(500, b"not yet\n")
        if request.program == "echo":
            return answer(200, request.body)
        if request.program == "status":
            extra = [("Retry-After", request.query["ra"])] if "ra" in request.query else []
            extra += [("Location", request.query["location"])] if "location" in request.query else []
            return answer(n, b"status\n" if n != 204 else b"", extra)
        if request.program == "bytes":
            return answer(200, b"x" * n)
        if request.program == "headers":
            return answer(200, b"ok\n", [(f"X-Filler-{i:06}", "h" * 83) for i in range(n)])
        if request.program == "nul":
            return answer(200, bytes(range(256)))
        if request.program == "gzip":
            return answer(200, b"this is not gzip", [("Content-Encoding", "gzip")])
        if request.program == "badlength":
            return answer(200, b"ab", [("Content-Length", "1")])
        return answer(404, b"no such path\n")

    async def do_hang(self, request, reader, writer):
        while await reader.read(65536):
            pass
        return False

    async def do_half(self, request, reader, writer):
        writer.write(answer(200, b"x" * 10, length=20))
        await writer.drain()
        return await self.do_hang(request, reader, writer)

    async def do_reset(self, request, reader, writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False

    async def do_close(self, request, reader, writer):
        return False

    async def do_short(self, request, reader, writer):
        writer.write(answer(200, b"x" * 10, length=20))
        await writer.drain()
        return False

    async def do_drip(self, request, reader, writer):
        writer.write(answer(200, length=1 << 40))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(request.argument / 1000)

    async def do_chunked(self, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        await writer.drain()
        return True

    async def do_chunked_endless(self, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()

    async def do_raw(self, request, reader, writer):
        for piece in RAW[request.path.split("/")[2]]():
            if isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
            else:
                await asyncio.sleep(piece)
        return False

    async def do_twice(self, request, reader, writer):
        writer.write(answer(200, b"first") + answer(200, b"nobody asked for this"))
        await writer.drain()
        return True

    async def do_leave(self, request, reader, writer):
        """The connection is kept, and closed when the next request has begun."""
        writer.write(answer(200, b"ok"))
        await writer.drain()
        await reader.read(1)
        return False

    async def do_closing(self, request, reader, writer):
        writer.write(answer(200, b"ok"))
        await writer.drain()
        await asyncio.sleep(request.argument / 1000)
        return False

    async def do_garbage(self, request, reader, writer):
        writer.write(b"\x00\xff\x16\x03SSH-2.0 this is not HTTP\r\n\r\n" * 4)
        await writer.drain()
        return False


def write_whole(path, text):
    """So that whoever sees the file sees all of it."""
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.rename(path + ".new", path)


async def watch_stdin(stop):
    """Sets stop at the end of standard input if that is a pipe."""
    if not stat.S_ISFIFO(os.fstat(0).st_mode):
        return
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stop.set()


async def run(args):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    log = os.open(args.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    server = await asyncio.start_server(Receiver(log, args.show).serve, args.host, args.port,
                                        limit=MAX_HEAD, backlog=4096)
    watcher = asyncio.create_task(watch_stdin(stop))
    write_whole(args.port_file, f"{server.sockets[0].getsockname()[1]}\n")
    await stop.wait()
    watcher.cancel()


def main():
    parser = argparse.ArgumentParser(description="scripted HTTP receiver")
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
    asyncio.run(run(args))
    os._exit(0)


if __name__ == "__main__":
    main()
