"""A private redis-server on a unix socket and a loopback port, by default without persistence."""

import signal
import socket
import subprocess
import threading

import redis

from .net import free_port, open_socket
from .process import die_with_us
from .wait import TIMEOUT, wait_for


def publish_command(channel, message):
    """Encodes a PUBLISH command in the Redis protocol."""
    channel, message = _bytes(channel), _bytes(message)
    return (b"*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
            % (len(channel), channel, len(message), message))


class RedisServer:
    def __init__(self, directory, port=None, password=None, host="127.0.0.1", arguments=()):
        self.directory = directory
        self.host = host
        self.arguments = list(arguments)
        self.port = port or free_port()
        self.password = password
        self.socket_path = str(directory / "redis.sock")
        self.process = None
        self._pipe = None
        self.client = redis.Redis(unix_socket_path=self.socket_path, password=password)

    @property
    def url(self):
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}{self.host}:{self.port}/0"

    @property
    def address(self):
        return (self.host, self.port)

    def start(self):
        self.launch()
        wait_for(self._answers, "redis-server to answer")
        return self

    def launch(self):
        """Starts the process without waiting for it to be ready."""
        arguments = ["redis-server", "--port", str(self.port), "--bind", self.host,
                     "--unixsocket", self.socket_path, "--dir", str(self.directory),
                     "--save", "", "--appendonly", "no", "--maxclients", "2000"]
        if self.password:
            arguments += ["--requirepass", self.password]
        arguments += self.arguments
        log = open(self.directory / "redis.log", "ab")
        self.process = subprocess.Popen(arguments, stdout=log, stderr=log, preexec_fn=die_with_us)
        log.close()

    def _answers(self):
        assert self.process.poll() is None, \
            "redis-server ended: " + (self.directory / "redis.log").read_text()
        try:
            return self.client.ping()
        except redis.AuthenticationError:
            raise
        except redis.RedisError:
            return False

    def _forget(self):
        if self._pipe:
            self._pipe.close()
            self._pipe = None
        self.client.connection_pool.disconnect()

    def kill(self):
        """Kills the process at once, as a crash would."""
        if self.process:
            self.process.kill()
            self.process.wait(TIMEOUT)
            self.process = None
        self._forget()

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(TIMEOUT)
            self.process = None
        self._forget()

    # Publishing. The reply is the number of nodes that have a recipient.

    def publish(self, channel, message):
        return self.publish_many([(channel, message)])[0]

    def publish_many(self, pairs):
        """PUBLISHes (channel, message) pairs in one write; returns the replies.

        redis-py would use more CPU time than the server under test.
        """
        count, out = 0, []
        for channel, message in pairs:
            out.append(publish_command(channel, message))
            count += 1
        if self._pipe is None:
            self._pipe = self._log_in()
        self._pipe.sendall(b"".join(out))
        return self._replies(count)

    def _replies(self, count):
        raw = bytearray()
        while raw.count(b"\n") < count:
            data = self._pipe.recv(1 << 20)
            assert data, "Redis closed the publisher's connection"
            raw += data
        lines = bytes(raw).split(b"\r\n")[:count]
        assert all(line[:1] == b":" for line in lines), lines[:3]
        return [int(line[1:]) for line in lines]

    def _log_in(self):
        pipe = open_socket(self.socket_path, timeout=TIMEOUT)
        if self.password:
            password = self.password.encode()
            pipe.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n" % (len(password), password))
            assert pipe.recv(100) == b"+OK\r\n"
        return pipe

    def subscribers(self, channel):
        """Returns the number of connections that subscribe to the channel (PUBSUB NUMSUB)."""
        return self.client.pubsub_numsub(channel)[0][1]


def _bytes(value):
    return value.encode() if isinstance(value, str) else value


class Script:
    """A script that keeps a RedisServer busy until it is stopped; meanwhile Redis refuses other commands."""

    def __init__(self, server):
        self.server = server
        server.client.config_set("busy-reply-threshold", 1)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        wait_for(self._is_busy, "Redis to be busy")

    def _run(self):
        with redis.Redis(unix_socket_path=self.server.socket_path) as own:
            try:
                own.eval("while true do end", 0)
            except redis.RedisError:
                pass

    def _is_busy(self):
        try:
            self.server.client.ping()
            return False
        except redis.ResponseError as error:
            return "BUSY" in str(error)

    def end(self):
        self.server.client.script_kill()
        self.thread.join()


class MuteServer:
    """Listens in place of Redis and accepts connections, but sends nothing."""

    def __init__(self, port):
        self._listener = socket.create_server(("127.0.0.1", port), backlog=128)
        self._listener.settimeout(TIMEOUT)
        self._peers = []

    def accept(self):
        """Waits for the next connection."""
        self._peers.append(self._listener.accept()[0])
        return self._peers[-1]

    def close(self):
        for sock in [self._listener, *self._peers]:
            sock.close()
