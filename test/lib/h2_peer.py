#!/usr/bin/env python3
"""h2_peer.py
    A receiver of HTTP/2 over TLS that does not answer as usual.

usage: h2_peer.py PORT-FILE CERTIFICATE KEY MODE

Listens on a free port of 127.0.0.1 and writes its number to the file.  Modes:

    short     offers no window, so that no body can be sent.  Every request is
              answered with 200 and "content-length: 10" and with five bytes, upon which
              the stream is reset without an error; of every other one, the bytes come
              together with the reset
    once      the very first request is refused (REFUSED_STREAM), the others get 204
    twice     likewise the first two
    refuse    of each connection the first request gets 204, the others are refused
    goaway    likewise, but the second one is not taken any more (GOAWAY)
    vanish    likewise, but the connection is closed without a word
    http1     every request is refused with HTTP_1_1_REQUIRED

All but short also speak HTTP/1.1, and answer with 204.
"""
import itertools
import os
import socket
import ssl
import struct
import sys
import threading
import time

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
ACK, END_STREAM, END_HEADERS = 1, 1, 4
REFUSED_STREAM, HTTP_1_1_REQUIRED = 7, 13
PREFACE_LENGTH = 24
STATUS_200 = b"\x88"
STATUS_204 = b"\x89"
CONTENT_LENGTH_10 = b"\x0f\x0d\x0210"  # a literal field, its name from the static table


def frame(kind, flags, stream, payload=b""):
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def reset(stream, error):
    return frame(RST_STREAM, 0, stream, struct.pack("!I", error))


def no_content(connection, stream):
    connection.sendall(frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_204))


def short(connection, stream):
    cut = frame(DATA, 0, stream, b"hello")
    connection.sendall(frame(HEADERS, END_HEADERS, stream, STATUS_200 + CONTENT_LENGTH_10))
    # What comes at once is read at once, and never by itself.
    time.sleep(0.02)
    for part in [cut + reset(stream, 0)] if stream % 4 == 1 else [cut, reset(stream, 0)]:
        connection.sendall(part)
        time.sleep(0.02)


numbers = itertools.count()


def refuse_first(n, connection, stream):
    if next(numbers) < n:
        connection.sendall(reset(stream, REFUSED_STREAM))
    else:
        no_content(connection, stream)


def once(connection, stream):
    refuse_first(1, connection, stream)


def twice(connection, stream):
    refuse_first(2, connection, stream)


def refuse(connection, stream):
    if stream > 1:
        connection.sendall(reset(stream, REFUSED_STREAM))
    else:
        no_content(connection, stream)


def goaway(connection, stream):
    if stream == 1:
        no_content(connection, stream)
        return
    connection.sendall(frame(GOAWAY, 0, 0, struct.pack("!II", 1, 0)))
    raise EOFError


def vanish(connection, stream):
    if stream > 1:
        raise EOFError
    no_content(connection, stream)


def http1(connection, stream):
    connection.sendall(reset(stream, HTTP_1_1_REQUIRED))


def serve_http1(connection):
    """Requests without a body."""
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(connection, 1)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")


def serve_http2(connection, answer):
    window = struct.pack("!HI", 4, 0) if answer is short else b""
    connection.sendall(frame(SETTINGS, 0, 0, window))
    exactly(connection, PREFACE_LENGTH)
    while True:
        head = exactly(connection, 9)
        kind, flags, stream = struct.unpack("!BBI", head[3:])
        exactly(connection, int.from_bytes(head[:3], "big"))
        if kind == SETTINGS and not flags & ACK:
            connection.sendall(frame(SETTINGS, ACK, 0))
        elif kind == HEADERS:
            answer(connection, stream)


def serve(connection, context, answer):
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            if tls.selected_alpn_protocol() == "h2":
                serve_http2(tls, answer)
            else:
                serve_http1(tls)
    except (EOFError, OSError):
        pass


def main():
    port_file, certificate, key, mode = sys.argv[1:]
    answer = {"short": short, "once": once, "twice": twice, "refuse": refuse, "goaway": goaway,
              "vanish": vanish, "http1": http1}[mode]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"] if answer is short else ["h2", "http/1.1"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    with open(port_file + ".new", "w", encoding="ascii") as f:
        f.write(str(listener.getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context, answer), daemon=True).start()


main()
