"""A TCP proxy in front of Incus that a test can make refuse or hang: Incus down, without stopping it for others."""
import select
import socket
import threading


class Proxy:
    def __init__(self, host, port):
        self._target = (host, port)
        self._lock = threading.Lock()
        self._mode = "pass"
        self._listener = None
        self._sockets = set()
        self._listen(0)
        self.port = self._listener.getsockname()[1]

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def passing(self):
        self._set("pass")

    def refusing(self):
        """Nobody listens on the port; connections that exist break."""
        self._set("refuse")

    def hanging(self):
        """Connections are accepted and nothing is ever answered; ones that exist break."""
        self._set("hang")

    def close(self):
        self._set("refuse")

    def _set(self, mode):
        with self._lock:
            self._mode = mode
            for one in self._sockets:
                self._cut(one)
            self._sockets.clear()
            if mode == "refuse" and self._listener is not None:
                self._listener.shutdown(socket.SHUT_RDWR)
                self._listener.close()
                self._listener = None
        if mode != "refuse" and self._listener is None:
            self._listen(self.port)

    @staticmethod
    def _cut(one):
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it ended by itself

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with self._lock:
            mode = self._mode
            self._sockets.add(client)
        if mode != "pass":
            return  # kept open, never answered; _set() ends it
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self._lock:
            self._sockets.add(server)
        other = {client: server, server: client}
        try:
            while True:
                for one in select.select(list(other), [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    other[one].sendall(data)
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._sockets -= {client, server}
            client.close()
            server.close()
