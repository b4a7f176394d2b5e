#!/usr/bin/env python3
"""h2_peer.py
    A receiver of HTTP/2 over TLS that answers before it has read a request's body.

usage: h2_peer.py PORT-FILE CERTIFICATE KEY

Listens on a free port of 127.0.0.1 and writes its number to the file.  Offers no
window, so that no body can be sent.  Every request is answered with 200 and
"content-length: 10" and with five bytes, upon which the stream is reset without an
error; of every other one, the bytes come together with the reset.
"""
import os
import socket
import ssl
import struct
import sys
import threading
import time

DATA, HEADERS, RST_STREAM, SETTINGS = 0, 1, 3, 4
ACK, END_HEADERS = 1, 4
PREFACE_LENGTH = 24
STATUS_200 = b"\x88"
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


def answer(connection, stream):
    cut = frame(DATA, 0, stream, b"hello")
    reset = frame(RST_STREAM, 0, stream, struct.pack("!I", 0))
    connection.sendall(frame(HEADERS, END_HEADERS, stream, STATUS_200 + CONTENT_LENGTH_10))
    # What comes at once is read at once, and never by itself.
    time.sleep(0.02)
    for part in [cut + reset] if stream % 4 == 1 else [cut, reset]:
        connection.sendall(part)
        time.sleep(0.02)


def serve(connection, context):
    try:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(frame(SETTINGS, 0, 0, struct.pack("!HI", 4, 0)))
            exactly(tls, PREFACE_LENGTH)
            while True:
                head = exactly(tls, 9)
                kind, flags, stream = struct.unpack("!BBI", head[3:])
                exactly(tls, int.from_bytes(head[:3], "big"))
                if kind == SETTINGS and not flags & ACK:
                    tls.sendall(frame(SETTINGS, ACK, 0))
                elif kind == HEADERS:
                    answer(tls, stream)
    except (EOFError, OSError):
        pass


def main():
    port_file, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    listener = socket.create_server(("127.0.0.1", 0), backlog=50)
    with open(port_file + ".new", "w", encoding="ascii") as f:
        f.write(str(listener.getsockname()[1]))
    os.rename(port_file + ".new", port_file)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, context), daemon=True).start()


main()
