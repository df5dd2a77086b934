"""The application behind the proxy: one page, which takes its time at /slow."""

import http.server
import time

PAGE = b"<!doctype html><html><head><title>Shop</title></head><body><p>Hello</p></body></html>"


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            time.sleep(3)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)


http.server.ThreadingHTTPServer(("127.0.0.1", 3000), Application).serve_forever()
