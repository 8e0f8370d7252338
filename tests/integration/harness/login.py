"""Logins: keys and tokens, right and wrong, and how a server answers to them."""

import base64
import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from .http import upgrade_head
from .server import Raw

SECRET = "a shared secret that only the login service and wspushd know, 64 bytes"
ALGORITHMS = ["HS256", "HS384", "HS512", "RS256", "ES256"]

BAD_NAMES = ["a" * 64, "b" * 1000, "line\nbreak event=forged", "\x1b[31m",
             "a\0b", "c1\u0085", "\x7f"]
"""What is no user's name, as text."""


def section(**keys):
    """The body of a section of push.conf."""
    return Raw("{ " + " ".join(f'{key} = "{value}"' for key, value in keys.items()) + " }")


class Keys:
    """For each algorithm what signs, and the file that wspushd reads."""

    def __init__(self, directory):
        self.signing = {name: SECRET for name in ALGORITHMS}
        self.signing["RS256"] = rsa.generate_private_key(65537, 2048)
        self.signing["ES256"] = ec.generate_private_key(ec.SECP256R1())
        self.text = {name: self._text(key) for name, key in self.signing.items()}
        self.file = {name: str(directory / name) for name in ALGORITHMS}
        for name, path in self.file.items():
            with open(path, "wb") as file:
                file.write(self.text[name])

    @staticmethod
    def _text(key):
        if isinstance(key, str):
            return key.encode()
        return key.public_key().public_bytes(serialization.Encoding.PEM,
                                             serialization.PublicFormat.SubjectPublicKeyInfo)

    def private_pem(self, algorithm):
        return self.signing[algorithm].private_bytes(serialization.Encoding.PEM,
                                                     serialization.PrivateFormat.PKCS8,
                                                     serialization.NoEncryption())

    def section(self, algorithm="HS256", **more):
        return section(key_file=self.file[algorithm], algorithm=algorithm, **more)

    def token(self, user="42", algorithm="HS256", secret=None, **claims):
        """A good token, unless the claims say otherwise; by another secret where one is given."""
        claims.setdefault("exp", int(time.time()) + 600)
        return jwt.encode({"sub": user, **claims}, secret or self.signing[algorithm], algorithm)


def sign(payload):
    """HS256 over whatever it is: PyJWT would look at the claims."""
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    return jwt.api_jws.encode(payload, SECRET, "HS256")


def encode_part(value):
    if not isinstance(value, bytes):
        value = json.dumps(value).encode()
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def raw_token(header, payload, signature=b""):
    return ".".join(encode_part(part) for part in (header, payload, signature))


def bearer(token):
    return [("Authorization", "Bearer " + token)]


def sid(value):
    return [("Cookie", f"sid={value}")]


def ask(server, headers=(), target="/ws", before=b"", **kwargs):
    """A client whose request is sent, behind the bytes `before`."""
    client = server.raw(**kwargs)
    client.send_bytes(before + upgrade_head(target, extra=headers))
    return client


def admit(server, headers=(), user=None, **kwargs):
    """A client that is let in, as `user`, with its HELLO."""
    client = ask(server, headers, **kwargs)
    client.expect_upgrade()
    hello = client.expect_hello()
    assert user is None or hello["user"] == user
    return client


def refuse(server, headers=(), status=401, says="", **kwargs):
    """The body of the refusal that the request gets."""
    client = ask(server, headers, **kwargs)
    response = client.recv_response()
    assert response.status == status, f"{response.status} {response.body!r}"
    body = response.json()
    assert says in body["message"], body
    if status == 503:
        assert 1 <= int(response.header("Retry-After")) <= 60
    client.expect_end()
    client.close()
    return body


def assert_one_line_each(server, before, count):
    """Since `before` bytes of log: one line for each of `count` names that are none, escaped."""
    lines = server.log()[before:].split("\n")
    assert sum("event=bad_user_name" in line for line in lines) == count
    assert not [line for line in lines if line.startswith("break")]
    assert not [line for line in lines if any(ord(c) < 32 or ord(c) == 127 for c in line)]
