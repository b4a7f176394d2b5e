#!/usr/bin/env python3
"""relay.py
    Stands between a client and a PostgreSQL server, and can stop answering.

usage: relay.py PORT-FILE MODE-FILE SOCKET

Listens on a free port of 127.0.0.1, which it writes to the file, and passes what comes on to the
UNIX socket.  Each new connection reads the mode file:

    pass      everything is passed on
    mute      the connection is taken, and nothing is said
    login     likewise, once the server has accepted the client: what follows is not passed on
    listen    likewise, from the first LISTEN on

Ends when its standard input ends.
"""
import socket
import sys
import threading

READY = b"Z\x00\x00\x00\x05"


def passed_on(source, target, ends):
    """Passes bytes on; ends(bytes) tells whether these are the last ones."""
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            if ends(data) == "before":
                return
            target.sendall(data)
            if ends(data):
                return
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client, mode, path):
    if mode == "mute":
        threading.Event().wait()
    server = socket.socket(socket.AF_UNIX)
    server.connect(path)
    upstream = (lambda data: "before" if b"listen " in data else False) if mode == "listen" else (lambda data: False)
    downstream = (lambda data: READY in data) if mode == "login" else (lambda data: False)
    threading.Thread(target=passed_on, args=(client, server, upstream), daemon=True).start()
    passed_on(server, client, downstream)
    if mode in ("login", "listen"):
        threading.Event().wait()


def take_clients(listener, mode_file, path):
    while True:
        client, _ = listener.accept()
        with open(mode_file, encoding="ascii") as file:
            mode = file.read().strip()
        threading.Thread(target=serve, args=(client, mode, path), daemon=True).start()


def main():
    port_file, mode_file, path = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    with open(port_file, "w", encoding="ascii") as file:
        file.write(str(listener.getsockname()[1]))
    threading.Thread(target=take_clients, args=(listener, mode_file, path), daemon=True).start()
    sys.stdin.read()


main()
