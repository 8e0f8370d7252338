"""Logins: valid and invalid keys and tokens, and a server's answers to them."""

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
"""Texts that are not valid user names."""


def section(**keys):
    """Returns the body of a section of push.conf."""
    return Raw("{ " + " ".join(f'{key} = "{value}"' for key, value in keys.items()) + " }")


class Keys:
    """For each algorithm, the signing key and the key file for wspushd."""

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
        """Returns a token, valid unless the claims or another secret make it invalid."""
        claims.setdefault("exp", int(time.time()) + 600)
        return jwt.encode({"sub": user, **claims}, secret or self.signing[algorithm], algorithm)


def sign(payload):
    """Signs any payload with HS256. PyJWT would check the claims."""
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
    """Returns a client that has sent the bytes `before` and then its request."""
    client = server.raw(**kwargs)
    client.send_bytes(before + upgrade_head(target, extra=headers))
    return client


def admit(server, headers=(), user=None, **kwargs):
    """Returns a client that was admitted as `user` and has received HELLO."""
    client = ask(server, headers, **kwargs)
    client.expect_upgrade()
    hello = client.expect_hello()
    assert user is None or hello["user"] == user
    return client


def refuse(server, headers=(), status=401, says="", **kwargs):
    """Expects the request to be refused, and returns the body of the refusal."""
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
    """Asserts that the log, from byte `before` on, has one escaped line for each of `count` invalid names."""
    lines = server.log()[before:].split("\n")
    assert sum("event=bad_user_name" in line for line in lines) == count
    assert not [line for line in lines if line.startswith("break")]
    assert not [line for line in lines if any(ord(c) < 32 or ord(c) == 127 for c in line)]
