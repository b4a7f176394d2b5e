#!/usr/bin/env python3
"""receiver.py
        A receiver of push tasks for trying: it prints each request and answers 200.

usage: receiver.py [PORT]

It listens on 127.0.0.1, port 9099 unless told otherwise.
"""
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        print(self.path, self.headers['Idempotency-Key'], body.decode(), flush=True)
        self.send_response(200)
        self.send_header('Content-Length', '6')
        self.end_headers()
        self.wfile.write(b'thanks')

    def log_message(self, *args):
        pass


HTTPServer(('127.0.0.1', int(sys.argv[1]) if len(sys.argv) > 1 else 9099), Receiver).serve_forever()
