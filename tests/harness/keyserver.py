"""A web server with keys on it, over https with an authority of its own: for what fetches them."""
import http.server
import shutil
import socket
import ssl
import subprocess
import threading


class KeyServer:
    """with KeyServer(folder) as web: web.pages["/alice"] = b"ssh-ed25519 ..."; a page may be a function of the
    request handler as well."""

    def __init__(self, folder):
        self.folder, self.pages, self.seen = folder, {}, []
        folder.mkdir()
        self.ca = folder / "ca.crt"
        self._certify()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.crt", folder / "server.key")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def _certify(self):
        def openssl(*words):
            subprocess.run(["openssl", *map(str, words)], cwd=self.folder, check=True, capture_output=True)
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-days", 2, "-subj", "/CN=keys test CA")
        openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2,
                "-extfile", "names", "-out", "server.crt")
        for path in (self.folder, self.ca):
            path.chmod(0o755)

    def _handler(self):
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.seen.append(self.path)
                page = owner.pages.get(self.path)
                if callable(page):
                    page(self)
                    return
                self.send_response(404 if page is None else 200)
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, *_):
                pass
        return Handler

    def __enter__(self):
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        shutil.rmtree(self.folder)


def redirect(to):
    def page(handler):
        handler.send_response(302)
        handler.send_header("Location", to)
        handler.end_headers()
    return page


def silent_port():
    """Accepts, and never answers. The caller closes it."""
    return socket.create_server(("127.0.0.1", 0))
