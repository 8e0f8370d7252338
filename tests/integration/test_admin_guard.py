"""Access to the admin interface: the token, host names (DNS rebinding), and pages of other sites."""

import base64
import json
import os
import subprocess

import pytest

from harness.http import read_response, split_response
from harness.net import free_port, open_socket
from harness.server import run_wspushd, write_conf
from harness.wait import WSPUSHD, wait_for

TOKEN = "a-token-of-the-tests"
WSPUSHCTL = WSPUSHD.with_name("wspushctl")


def ask(server, method="GET", path="/api/stats", *, host="127.0.0.1:8081", body=None, **headers):
    """One request with exactly these headers; extra ones as Content_Type="..."."""
    lines = [f"{method} {path} HTTP/1.1", "Connection: close"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines.append(f"Content-Length: {len(body)}")
    with open_socket(server.admin.address) as sock:
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        return read_response(sock)


def push(server, user, **headers):
    return ask(server, "POST", "/api/push", body={"user": user, "op": 110}, **headers)


# Pages of other sites, without a token.

@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example",
                                  "localhost.evil.example:8081", "2130706433", "a b", "[::1].x",
                                  "evil.example:80:80"])
def test_a_name_that_dns_can_redirect_reads_and_does_nothing(server, user, host):
    client = server.client(user)
    for path in ("/api/users/" + user, "/api/stats", "/metrics", "/", "/nothing"):
        response = ask(server, path=path, host=host)
        assert response.status in (400, 403) and user.encode() not in response.body
    for headers in ({}, {"Origin": f"http://{host}"}, {"Content_Type": "application/json"},
                    {"Origin": f"http://{host}", "Content_Type": "application/json"}):
        assert push(server, user, host=host, **headers).status in (400, 403)
    client.expect_silence()


def test_of_an_absolute_target_the_host_counts_and_not_the_field(server):
    """RFC 9112 §3.2.2."""
    for host, status in (("evil.example", 403), ("127.0.0.1:8081", 200), ("[::1]", 200)):
        assert ask(server, path=f"http://{host}/api/stats").status == status
    assert ask(server, path="http://127.0.0.1/api/stats", host="evil.example").status == 200


def test_the_refusal_says_what_would_allow_it_and_is_logged(make_server):
    server = make_server()
    response = ask(server, host="ws1.internal:8081")
    assert response.status == 403 and "admin_hosts" in response.json()["error"]
    assert 'event=admin_refused' in server.log() and "ws1.internal" in server.log()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "10.1.2.3:9", "[::1]:8081", "[::1]",
                                  "localhost", "LocalHost:8081", None, "ws1.internal", "WS1.internal:1"])
def test_addresses_localhost_and_named_hosts_may(make_server, host):
    server = make_server(admin_hosts=["ws1.internal"])
    assert ask(server, host=host).status == 200
    assert push(server, "nobody", host=host).status == 200


def test_any_name_will_do_on_a_unix_socket(make_server, tmp_path):
    server = make_server(admin=f"unix:{tmp_path}/admin.sock")
    assert ask(server, host="wspushd").status == 200
    assert push(server, "nobody", host="wspushd").status == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_ask_by_any_name(server, path):
    assert ask(server, path=path, host="ws1.internal").status == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"},
    {"Origin": "http://evil.example", "Content_Type": "application/json"},
    {"Origin": "null", "Content_Type": "text/plain"},
    {"Origin": "", "Content_Type": "application/json"},
    {"Origin": "http://127.0.0.1:9999", "Content_Type": "application/json"},
    {"Sec_Fetch_Site": "cross-site", "Content_Type": "text/plain"},
    {"Sec_Fetch_Site": "same-site", "Content_Type": "application/json"},
    {"Referer": "http://evil.example/", "Content_Type": "application/x-www-form-urlencoded"},
    {"Referer": "http://evil.example/", "Content_Type": "text/plain; charset=utf-8"},
    {"Origin": "http://127.0.0.1:8081", "Content_Type": "multipart/form-data; boundary=x"},
    {"Origin": "http://127.0.0.1:8081"},
])
@pytest.mark.parametrize("path", ["/api/push", "/api/kick", "/api/reload", "/api/upgrade", "/api/drain"])
def test_posts_of_other_sites_and_of_forms_are_refused(server, user, headers, path):
    client = server.client(user)
    assert ask(server, "POST", path, body={"user": user, "op": 110}, **headers).status == 403
    client.expect_silence()


@pytest.mark.parametrize("headers", [
    {}, {"Content_Type": "application/json"}, {"Content_Type": "application/x-www-form-urlencoded"},
    {"Content_Type": "text/plain"},
    {"Origin": "http://127.0.0.1:8081", "Content_Type": "application/json"},
    {"Origin": "http://127.0.0.1:8081", "Content_Type": "application/json; charset=utf-8",
     "Sec_Fetch_Site": "same-origin"},
])
def test_programs_and_pages_of_its_own_may_post(server, user, headers):
    client = server.client(user)
    assert push(server, user, **headers).status == 200
    assert client.recv_message().op == 110


def test_curl_as_make_run_prints_it(server, user):
    client = server.client(user)
    address = server.config["admin"]
    done = subprocess.run(["curl", "-s", f"http://{address}/api/push", "-d",
                           json.dumps({"user": user, "op": 110, "data": "hello"})],
                          capture_output=True, timeout=10)
    assert json.loads(done.stdout)["delivered"] == 1
    assert client.recv_message().json() == "hello"


# The token.

@pytest.fixture
def locked(make_server):
    return make_server(admin_token=TOKEN)


def bearer(token=TOKEN):
    return {"Authorization": "Bearer " + token}


def basic(token=TOKEN, user="admin"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def test_without_the_token_only_the_probes_are_answered(locked, user):
    server = locked
    for path in ("/healthz", "/readyz"):
        assert ask(server, path=path).status == 200
    wrong = [{}, bearer(""), bearer(TOKEN[:-1]), bearer(TOKEN + "x"), basic(TOKEN[:-1]),
             {"Authorization": TOKEN}, {"Authorization": "Basic " + TOKEN},
             {"Authorization": "Basic " + "A" * 4000}, {"Authorization": "Digest " + TOKEN}]
    for headers in wrong:
        for path in ("/", "/metrics", "/api/stats", "/api/users/" + user, "/nothing"):
            response = ask(server, path=path, **headers)
            assert response.status == 401 and "admin_token" in response.json()["error"]
            challenges = [value for name, value in response.headers if name == "WWW-Authenticate"]
            assert [challenge.split()[0] for challenge in challenges] == ["Bearer", "Basic"]
        assert push(server, user, **headers).status == 401
    assert TOKEN not in server.log()


@pytest.mark.parametrize("headers", [bearer(), basic(), basic(user=""),
                                     {"Authorization": "bearer  " + TOKEN}])
def test_with_the_token_everything_is_and_by_any_name(locked, headers):
    server = locked
    for path in ("/", "/metrics", "/api/stats", "/api/users/u"):
        assert ask(server, path=path, host="ws1.internal", **headers).status == 200
    assert push(server, "nobody", host="ws1.internal", **headers).status == 200


def test_a_browser_that_has_the_token_does_nothing_for_another_site(locked):
    """It sends the password along with a form that another site's page submits."""
    assert push(locked, "nobody", Origin="http://evil.example", **basic()).status == 403


def test_wspushctl_takes_the_token_from_push_conf_a_file_or_the_environment(locked, tmp_path):
    server = locked

    def ctl(*arguments, token=None):
        env = {key: value for key, value in os.environ.items() if key != "WSPUSHD_ADMIN_TOKEN"}
        done = subprocess.run([WSPUSHCTL, *arguments, "status"], capture_output=True,
                              text=True, timeout=20,
                              env={**env, **({"WSPUSHD_ADMIN_TOKEN": token} if token else {})})
        return done.returncode, done.stderr

    address = ["--admin", server.config["admin"]]
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(TOKEN + "\n"), bad.write_text("wrong\n")
    assert ctl("-c", str(server.conf_path)) == (0, "")
    assert ctl(*address, "--token-file", str(good)) == (0, "")
    assert ctl(*address, token=TOKEN) == (0, "")
    assert ctl("-c", str(server.conf_path), *address) == (0, "")
    for arguments, token in (([], None), (["--token-file", str(bad)], None), ([], "wrong")):
        status, error = ctl(*address, *arguments, token=token)
        assert status == 3 and "admin_token" in error
    for text in ("", "a b", "\x1b"):
        bad.write_text(text)
        status, error = ctl(*address, "--token-file", str(bad))
        assert status == 1 and str(bad) in error
    assert ctl(*address, "--token-file", "/nonexistent")[0] == 1


def test_a_reload_changes_the_token(locked):
    server = locked
    server.workers_may_change = True
    server.config["admin_token"] = "another"
    server.rewrite()
    reload = subprocess.run([WSPUSHCTL, "--admin", server.config["admin"], "reload"],
                            env={**os.environ, "WSPUSHD_ADMIN_TOKEN": TOKEN}, timeout=20,
                            capture_output=True)
    assert reload.returncode in (0, 3)  # most often the old token is refused before it is over
    assert reload.returncode == 0 or b"the admin token has changed" in reload.stderr
    wait_for(lambda: "event=changed by=reload outcome=done" in server.log(), "the new token")
    assert ask(server, **bearer("another")).status == 200
    assert ask(server, **bearer()).status == 401


# An address that others can reach.

@pytest.mark.parametrize("config, ok", [
    ({}, False), ({"admin_token": TOKEN}, True), ({"allow_insecure": True}, True)])
def test_a_listener_that_is_not_loopback_needs_a_token(tmp_path, config, ok):
    for address in (f"0.0.0.0:{free_port()}", f"[::]:{free_port()}", "192.0.2.1:8081"):
        conf = write_conf(tmp_path / "push.conf",
                          {"listen": ["127.0.0.1:8080"], "admin": address, **config})
        status, printed = run_wspushd("-t", "-c", conf)
        assert (status == 0) == ok, printed
        assert ok or "push.conf:2: admin: any client that reaches" in printed


@pytest.mark.parametrize("line, says", [
    ('admin_token = "a b"', "white space"), ('admin_token = "ä"', "ASCII"),
    ('admin_hosts = {"a.example:80"}', "without a port"), ('admin_hosts = {""}', "host name"),
    ('admin_hosts = {"http://a"}', "host name"), ('admin_hosts = {"*"}', "host name"),
])
def test_wrong_values_are_named(tmp_path, line, says):
    conf = tmp_path / "push.conf"
    conf.write_text(f'listen = {{"127.0.0.1:8080"}}\n{line}\n')
    status, printed = run_wspushd("-t", "-c", conf)
    assert status == 1 and "push.conf:2: admin_" in printed and says in printed


# Methods.

def raw_answers(server, request, count=1):
    """The bytes that come, until the connection ends."""
    with open_socket(server.admin.address) as sock:
        sock.sendall(request)
        raw = b""
        while data := sock.recv(65536):
            raw += data
        return raw


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics", "/api/stats",
                                  "/api/users/nobody", "/dashboard.js", "/nothing"])
def test_head_is_get_without_the_body(server, path):
    get = ask(server, path=path)
    raw = raw_answers(server, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
                      .encode())
    head, end, body = raw.partition(b"\r\n\r\n")
    assert end and body == b"", "no byte behind the head"
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert int(head.split()[1]) == get.status
    assert fields[b"Content-Type"].decode() == get.header("Content-Type")
    if path not in ("/metrics", "/api/stats"):  # where numbers grow
        assert int(fields[b"Content-Length"]) == len(get.body)


def test_head_and_get_on_one_connection(server):
    """A body behind the head of a HEAD would be taken for the next answer."""
    raw = raw_answers(server, b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
                      b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    response, rest = split_response(bytearray(rest), True)
    assert response.json() == {"status": "alive"} and not rest


def test_curl_understands_head(server):
    done = subprocess.run(["curl", "-sSI", "--max-time", "5", f"http://{server.config['admin']}/healthz"],
                          capture_output=True, timeout=10)
    assert done.returncode == 0 and done.stdout.startswith(b"HTTP/1.1 200 "), done


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "PUT", "DELETE", "TRACE", "PROPFIND", "get"])
@pytest.mark.parametrize("path, allowed", [("/api/stats", "GET, HEAD"), ("/healthz", "GET, HEAD"),
                                           ("/api/push", "POST")])
def test_every_other_method_is_405_in_json(server, method, path, allowed):
    response = ask(server, method, path)
    assert (response.status, response.header("Allow")) == (405, allowed)
    assert response.header("Content-Type") == "application/json" and response.json()["error"]
