"""Keys, passwords and tokens in files: their paths, their permissions, and that the server never asks
for a pass phrase."""

import os
import pty
import select
import shutil
import signal
import subprocess
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness.login import admit, bearer, section
from harness.server import run_wspushd
from harness.wait import SLACK, WSPUSHD, wait_for

HEAD = 'listen = "127.0.0.1:8080"\nadmin = ""\nmax_connections = 100\n'


def private_pem(key, password=None, form=serialization.PrivateFormat.PKCS8):
    how = (serialization.BestAvailableEncryption(password) if password
           else serialization.NoEncryption())
    return key.private_bytes(serialization.Encoding.PEM, form, how)


def run_on_terminal(*arguments, seconds=5 * SLACK):
    """Runs wspushd on a new terminal, as from a shell; returns (status, text), or
    (None, text) if it has not ended."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(WSPUSHD, [str(WSPUSHD), *map(str, arguments)])
    text, deadline = b"", time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 4096)
        except OSError:
            break
        text += data
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return None, text.decode()
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text.decode()


# Pass phrases.

@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8,
                                  serialization.PrivateFormat.TraditionalOpenSSL])
@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
@pytest.mark.parametrize("password", [b"secret", None])
def test_a_private_key_is_refused_and_nobody_is_asked(tmp_path, algorithm, form, password):
    key = (rsa.generate_private_key(65537, 2048) if algorithm == "RS256"
           else ec.generate_private_key(ec.SECP256R1()))
    file = tmp_path / "private.pem"
    file.write_bytes(private_pem(key, password, form))
    conf = tmp_path / "push.conf"
    conf.write_text(f'{HEAD}auth = "jwt"\njwt {{ key_file = "{file}" algorithm = "{algorithm}" }}\n')
    status, text = run_on_terminal("-t", "-c", conf)
    assert status == 1, text
    assert "private key" in text and "-pubout" in text and "pass phrase" not in text


def test_two_keys_in_one_file_are_refused(tmp_path, keys):
    file = tmp_path / "public.pem"
    file.write_bytes(keys.text["RS256"] + keys.text["RS256"])
    conf = tmp_path / "push.conf"
    conf.write_text(f'{HEAD}auth = "jwt"\njwt {{ key_file = "{file}" algorithm = "RS256" }}\n')
    status, printed = run_wspushd("-t", "-c", conf)
    assert status == 1 and "2 keys" in printed


# Where files are.

def test_paths_are_relative_to_the_file(tmp_path, keys):
    """Not to the working directory, which is another one under systemd, in a shell, and in cron."""
    (tmp_path / "etc").mkdir(), (tmp_path / "elsewhere").mkdir()
    shutil.copy(keys.file["RS256"], tmp_path / "etc/public.pem")
    conf = tmp_path / "etc/push.conf"
    conf.write_text(f'{HEAD}auth = "jwt"\n'
                    f'jwt {{ key_file = "public.pem" algorithm = "RS256" }}\n')
    for where, name in ((tmp_path / "elsewhere", conf), (tmp_path, "etc/push.conf"),
                        (tmp_path / "etc", "push.conf"), (tmp_path / "elsewhere", "../etc/push.conf")):
        done = subprocess.run([WSPUSHD, "-t", "-c", name], cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    # On the command line a path is the caller's.
    (tmp_path / "elsewhere/other.pem").write_bytes(keys.text["RS256"])
    for where, status in ((tmp_path / "elsewhere", 0), (tmp_path / "etc", 1)):
        done = subprocess.run([WSPUSHD, "-t", "-c", conf, "-o", "jwt.key_file=other.pem"], cwd=where,
                              capture_output=True, text=True)
        assert done.returncode == status, done.stderr


def test_log_and_key_are_found_again_on_a_reload(make_server, keys, user):
    server = make_server(start=False, auth=["jwt"], log="server.log",
                         jwt=section(key_file="jwt.key"))
    key = server.directory / "jwt.key"
    key.write_text("o" * 64)
    server.start(cwd="/")
    log = server.directory / "server.log"
    assert "event=started" in log.read_text()
    admit(server, bearer(keys.token(user, secret="o" * 64)), user)
    key.write_text("n" * 64)
    server.workers_may_change = True
    server.signal(signal.SIGHUP)
    wait_for(lambda: "event=changed by=reload outcome=done" in log.read_text(), "the reload")
    admit(server, bearer(keys.token(user, secret="n" * 64)), user)
    assert "reload_kept" not in log.read_text()


def test_a_key_from_systemds_credentials(make_server, keys, user, tmp_path):
    (tmp_path / "jwt.key").write_text("c" * 64)
    server = make_server(start=False, auth=["jwt"],
                         jwt=section(key_file="${CREDENTIALS_DIRECTORY}/jwt.key"))
    server.start(env={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    admit(server, bearer(keys.token(user, secret="c" * 64)), user)


# Permissions.

def check(conf):
    """Returns the warnings of -t, which must succeed."""
    done = subprocess.run([WSPUSHD, "-t", "-c", conf], capture_output=True, text=True,
                          env={**os.environ, "WSPUSHD_TEST_PASSWORD": "hunter2"})
    assert done.returncode == 0 and done.stdout.endswith(": ok\n"), done.stderr
    return done.stderr


def test_a_secret_that_everybody_may_read_is_warned_of(tmp_path):
    key, conf = tmp_path / "jwt.key", tmp_path / "push.conf"
    key.write_text("k" * 64)
    conf.write_text(f'{HEAD}auth = "jwt"\njwt {{ key_file = "jwt.key" }}\n')
    for mode, warned in ((0o644, True), (0o604, True), (0o640, False), (0o600, False)):
        key.chmod(mode)
        text = check(conf)
        assert ("warning" in text) == warned
        assert not warned or (str(key) in text and f"{mode:o}" in text and "chmod" in text)


def test_a_public_key_is_no_secret(tmp_path, keys):
    conf = tmp_path / "push.conf"
    os.chmod(keys.file["ES256"], 0o644)
    conf.write_text(f'{HEAD}auth = "jwt"\n'
                    f'jwt {{ key_file = "{keys.file["ES256"]}" algorithm = "ES256" }}\n')
    assert check(conf) == ""


@pytest.mark.parametrize("line, secret", [
    ('redis = "redis://:hunter2@127.0.0.1"', True), ('redis = "redis://u:hunter2@127.0.0.1"', True),
    ('admin_token = "0123456789abcdef0123"', True), ('redis = "redis://127.0.0.1"', False),
    ('redis = "redis://:${WSPUSHD_TEST_PASSWORD}@127.0.0.1"', False),
    ('# redis = "redis://:hunter2@127.0.0.1"', False)])
def test_a_push_conf_with_a_password_that_everybody_may_read_is_warned_of(tmp_path, line, secret):
    conf = tmp_path / "push.conf"
    conf.write_text(f"{HEAD}{line}\n")
    for mode in (0o644, 0o640):
        conf.chmod(mode)
        text = check(conf)
        assert ("warning" in text) == (secret and mode == 0o644)
        assert "hunter2" not in text


def test_a_token_that_can_be_guessed_is_warned_of(tmp_path):
    conf = tmp_path / "push.conf"
    conf.write_text(f'{HEAD}admin_token = "short"\n')
    conf.chmod(0o600)
    assert "admin_token: warning" in check(conf)
