"""Debian's nginx with one of the site files of scripts/nginx, in a private directory."""

import os
import re
import subprocess

from .net import can_connect, free_port
from .process import children, die_with_us
from .wait import ROOT, TIMEOUT, wait_for

NGINX = "/usr/sbin/nginx"
SITES = ROOT / "scripts/nginx"

MAIN = """
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log {directory}/error.log notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/site.conf;
}}
"""


def in_front_of(*servers, **further):
    """Returns replacements for wspushd.conf: the test's servers as upstream, and `further` ones."""
    upstream = " ".join(f"server 127.0.0.1:{server.address[1]};" for server in servers)
    return {"server 127.0.0.1:8080;": upstream, **further}


class Nginx:
    """site: a file of scripts/nginx. replace: {text in the file: its replacement}. `listen 80` becomes
    a free port of the loopback."""

    def __init__(self, directory, site, replace):
        self.directory = directory
        self.port = free_port()
        text = (SITES / site).read_text()
        for old, new in {"listen 80;": f"listen 127.0.0.1:{self.port};", **replace}.items():
            assert text.count(old) >= 1, f"{site} has no {old!r}"
            text = text.replace(old, new)
        (directory / "site.conf").write_text(text)
        # If root runs the tests, the test's directories belong to root, too.
        user = "user root;" if os.geteuid() == 0 else ""
        (directory / "nginx.conf").write_text(user + MAIN.format(directory=directory))
        self.process = None

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def command(self, *arguments):
        return [NGINX, "-p", str(self.directory), "-c", str(self.directory / "nginx.conf"),
                "-e", str(self.directory / "error.log"), *arguments]

    def start(self):
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL,
                                        preexec_fn=die_with_us)
        wait_for(lambda: self.process.poll() is None and can_connect(self.address), "nginx")
        return self

    def reload(self):
        """Runs nginx -s reload; returns the old worker processes once they no longer accept."""
        before = set(children(self.process.pid))
        subprocess.run(self.command("-s", "reload"), check=True, timeout=TIMEOUT,
                       capture_output=True)
        wait_for(lambda: all(f" {pid}#{pid}: gracefully shutting down" in self.log()
                             for pid in before), "the old nginx workers to accept no more")
        return before

    def log(self):
        return (self.directory / "error.log").read_text()

    def complaints(self):
        return re.findall(r"^.*\[(?:warn|error|crit|alert|emerg)\].*$", self.log(), re.M)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(TIMEOUT)
