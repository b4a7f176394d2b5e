#!/usr/bin/env python3
"""canary.py
    An internet of its own: whoever is reached at any address, and its name server.

usage: canary.py --log FILE [PORT]...

For a network namespace in which all addresses are local.  Accepts connections
to every address on the given ports and answers each request with 200; appends
to the log one JSON object a line for every connection, when it is made:

    address  the local one, IPv4 as such
    port

Answers DNS on port 53 of every address.  A name is made of labels that say what
it has, from the left:

    a4-1-2-3-4      an A record 1.2.3.4
    a6-HEX          an AAAA record of those 32 digits
    then            the labels before it are for the first question, those after
                    it for all others
    alias           a CNAME for localhost
    loop            a CNAME for itself
    many            a thousand A records of 10.0.0.5
    garbage         an answer that is none
    servfail        SERVFAIL
    mute            no answer
    ttl0            time to live 0; else 60

and ends in .test; anything else does not exist.  Writes "ready" when it is.
"""
import argparse
import ipaddress
import json
import selectors
import socket
import struct

A, CNAME, AAAA = 1, 5, 28
asked = {}


def plain(address):
    """The text of an address; an IPv4 one as such."""
    ip = ipaddress.ip_address(address.split("%")[0])
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("latin-1").lower())
        at += 1 + packet[at]
    kind, = struct.unpack("!H", packet[at + 1:at + 3])
    return labels, kind, packet[12:at + 5]


def chosen(labels, kind):
    """Of labels with "then" in them, those for this question."""
    if "then" not in labels:
        return labels
    at = labels.index("then")
    key = (tuple(labels), kind)
    asked[key] = asked.get(key, 0) + 1
    return labels[:at] if asked[key] == 1 else labels[at + 1:]


def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def records(labels, kind):
    found = []
    for label in labels:
        if label.startswith("a4-") and kind == A:
            found.append((A, bytes(int(n) for n in label[3:].split("-"))))
        elif label.startswith("a6-") and kind == AAAA:
            found.append((AAAA, bytes.fromhex(label[3:])))
        elif label == "many" and kind == A:
            found += [(A, bytes([10, 0, 0, 5]))] * 1000
        elif label == "alias":
            found.append((CNAME, encoded("localhost")))
        elif label == "loop":
            found.append((CNAME, encoded("loop.test")))
    return found


def answer(packet):
    """The answer to a question, or None."""
    labels, kind, asked_for = question(packet)
    exists = labels[-1:] == ["test"]
    labels = chosen(labels, kind)
    if "mute" in labels:
        return None
    if "garbage" in labels:
        return packet[:2] + b"\x81\x80\xff\xff\xff\xff\0\0\0\0\xc0\x0c\xc0\x0c\xff"
    code = 2 if "servfail" in labels else 0 if exists else 3
    found = records(labels, kind) if code == 0 else []
    ttl = 0 if "ttl0" in labels else 60
    rows = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind_, 1, ttl, len(data)) + data for kind_, data in found)
    # More than fits is cut off, and said to be.
    cut = len(rows) > 4000
    head = packet[:2] + struct.pack("!HHHHH", 0x8180 | (0x0200 if cut else 0) | code, 1, 0 if cut else len(found), 0, 0)
    return head + asked_for + (b"" if cut else rows)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--log", required=True)
    parser.add_argument("ports", type=int, nargs="*")
    options = parser.parse_args()
    log = open(options.log, "a", encoding="utf-8", buffering=1)
    selector = selectors.DefaultSelector()
    dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    dns.bind(("127.0.0.1", 53))
    selector.register(dns, selectors.EVENT_READ, "dns")
    for port in options.ports:
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        listener.listen(128)
        selector.register(listener, selectors.EVENT_READ, "listener")
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.data == "dns":
                packet, peer = dns.recvfrom(4096)
                reply = answer(packet)
                if reply is not None:
                    dns.sendto(reply, peer)
            elif key.data == "listener":
                connection, _ = key.fileobj.accept()
                address, port = connection.getsockname()[:2]
                log.write(json.dumps({"address": plain(address), "port": port}) + "\n")
                selector.register(connection, selectors.EVENT_READ, "connection")
            else:
                try:
                    data = key.fileobj.recv(65536)
                except OSError:
                    data = b""
                if data:
                    key.fileobj.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
                selector.unregister(key.fileobj)
                key.fileobj.close()


main()
