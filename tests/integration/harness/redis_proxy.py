"""A TCP proxy in front of Redis that can silence connections, as a firewall does that has dropped their
state: both ends stay open, but no data passes."""

import contextlib
import selectors
import socket
import threading


class _Pair:
    def __init__(self, client, server):
        self.client, self.server = client, server
        self.is_command_link = False
        self.silent = False


class RedisProxy(threading.Thread):
    """Has the interface of a RedisServer, for Server(redis_server=...)."""

    def __init__(self, redis):
        super().__init__(daemon=True)
        self.redis = redis
        self.mute_new = False     # True: new connections are accepted but never answered
        self._pairs = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._ended = threading.Event()
        self.start()

    def __getattr__(self, name):
        return getattr(self.redis, name)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def silence_commands(self, mute_new=False):
        """Silences the present connections for commands. Returns their number."""
        self.mute_new = mute_new
        pairs = [pair for pair in self._pairs if pair.is_command_link and not pair.silent]
        for pair in pairs:
            pair.silent = True
        return len(pairs)

    def run(self):
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(0.05):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    else:
                        self._pass_on(selector, key.fileobj, *key.data)
        for pair in self._pairs:
            pair.client.close()
            pair.server.close()
        self._listener.close()

    def _accept(self, selector):
        pair = _Pair(self._listener.accept()[0], socket.create_connection(self.redis.address))
        pair.silent = self.mute_new
        self._pairs.append(pair)
        selector.register(pair.client, selectors.EVENT_READ, (pair.server, pair))
        selector.register(pair.server, selectors.EVENT_READ, (pair.client, pair))

    def _pass_on(self, selector, source, target, pair):
        with contextlib.suppress(OSError):
            data = source.recv(65536)
            pair.is_command_link |= b"SELECT" in data
            if data and not pair.silent:
                target.sendall(data)
            if data:
                return
            if not pair.silent:
                target.shutdown(socket.SHUT_WR)
        selector.unregister(source)

    def close(self):
        self._ended.set()
        self.join()
