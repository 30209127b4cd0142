"""A forwarding HTTP proxy on the loopback, which writes down what goes through it."""

import http.client
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "keep-alive", "proxy-authorization", "proxy-connection")


class Proxy:
    def __init__(self, port):
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.passed = []  # (method, address, Proxy-Authorization)


@contextmanager
def proxy():
    """Forward requests for http addresses, one connection each."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    server.proxy = Proxy(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.proxy.passed.append(
            (self.command, self.path, self.headers["Proxy-Authorization"])
        )
        url = urlsplit(self.path)
        connection = http.client.HTTPConnection(url.netloc, timeout=5)
        try:
            kept = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
            connection.request(self.command, f"{url.path}?{url.query}", headers=kept)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in (*HOP_BY_HOP, "date", "server"):
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass
