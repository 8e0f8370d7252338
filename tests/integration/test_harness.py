"""The harness itself: a client that accepted invalid data would make every other test worthless."""

import asyncio
import threading

import pytest
import websockets

from harness import frames as ws
from harness.admin import Metrics
from harness.client import Client, decode_json
from harness.frames import FrameReader, ServerFault, frame, mask
from harness.http import accept_of, padded_head, parse_head, split_response, upgrade_head
from harness.server import Raw, opcode, parse_address, write_conf


@pytest.fixture(scope="module")
def other_echo():
    """The echo server of python3-websockets, as somebody else's reading of the RFC."""
    started, address, loop = threading.Event(), [], asyncio.new_event_loop()

    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    async def serve():
        async with websockets.serve(echo, "127.0.0.1", 0, max_size=1 << 20) as server:
            address.append(server.sockets[0].getsockname())
            started.set()
            await stop

    stop = loop.create_future()
    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    started.wait(10)
    yield address[0]
    loop.call_soon_threadsafe(stop.set_result, None)
    thread.join(10)


@pytest.fixture
def peer(other_echo):
    client = Client(other_echo)
    client.send_upgrade(mode="echo")
    client.expect_upgrade()
    yield client
    client.close()


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_messages_of_all_lengths_come_back(peer, size):
    peer.send_frame(ws.BINARY, b"x" * size)
    assert peer.recv_data() == (ws.BINARY, b"x" * size)


def test_fragments_ping_and_close(peer):
    peer.send_frame(ws.TEXT, "ü".encode()[:1], fin=False)
    peer.send_frame(ws.PING, b"between")
    assert peer.recv_pong() == b"between"
    peer.send_frame(ws.CONTINUATION, "ü".encode()[1:])
    assert peer.recv_data() == (ws.TEXT, "ü".encode())
    peer.send_close(4000, b"bye")
    peer.expect_close(4000)


@pytest.mark.parametrize("wrong, code", [
    (frame(ws.TEXT, b"\xff"), 1007), (frame(0x3, b""), 1002), (frame(ws.TEXT, b"a", rsv=4), 1002),
    (frame(ws.PING, b"a", fin=False), 1002), (frame(ws.CLOSE, b"\x03"), 1002),
    (frame(ws.BINARY, b"", length_bits=64, length=1 << 40), 1009),
    (frame(ws.TEXT, b"a", masked=False), 1002),
], ids=["utf8", "opcode", "rsv", "fragmented ping", "short close", "length", "no mask"])
def test_frames_that_are_meant_to_be_wrong_are(peer, wrong, code):
    peer.send_bytes(wrong)
    peer.expect_close(code)


@pytest.mark.parametrize("wrong", [
    b"\x82\x81\0\0\0\0a", b"\xc2\x01a", b"\x83\x01a", b"\x09\x00", b"\x89\x7e\x00\x7e",
    b"\x82\x7e\x00\x05hello", b"\x82\x7f\0\0\0\0\0\0\0\x05hello", b"\x80\x01a",
    b"\x02\x01a\x82\x01b", b"\x88\x01\x03",
])
def test_reader_finds_what_a_server_may_not_send(wrong):
    with pytest.raises(ServerFault):
        FrameReader().feed(wrong)


def test_reader_takes_frames_cut_anywhere():
    stream = b"\x01\x02ab\x89\x01p\x80\x01c\x82\x7e\x00\x7e" + b"x" * 126 + b"\x88\x02\x03\xe8"
    whole = FrameReader().feed(stream)
    assert [f.opcode for f in whole] == [1, 9, 0, 2, 8]
    reader, got = FrameReader(), []
    for at in range(len(stream)):
        got += reader.feed(stream[at:at + 1])
    assert got == whole and reader.pending == 0


def test_mask_is_its_own_inverse_and_that_of_the_rfc():
    assert mask(b"Hello", b"\x37\xfa\x21\x3d") == b"\x7f\x9f\x4d\x51\x58"
    assert mask(mask(b"abcdefg", b"1234"), b"1234") == b"abcdefg"
    assert mask(b"\0\0", b"\0\0\0\0") == b"\0\0"


def test_accept_key():
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_heads():
    assert len(padded_head(8192)) == 8192
    head = upgrade_head(replace={"Host": None}, extra=[("A", "b"), ("A", "c")]).decode()
    assert "Host" not in head and head.count("\r\nA: ") == 2 and head.endswith("\r\n\r\n")


@pytest.mark.parametrize("wrong", [
    b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\r\n\r\n", b"HTTP/2 200 OK\r\n\r\n"])
def test_response_heads_are_read_strictly(wrong):
    with pytest.raises(AssertionError):
        parse_head(wrong)


def test_responses_are_split_from_what_follows():
    raw = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x82\x00"
    response, rest = split_response(bytearray(raw), False)
    assert response.status == 101 and rest == b"\x82\x00"
    raw = b"HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\nhel"
    assert split_response(bytearray(raw), False) is None
    with pytest.raises(AssertionError):
        split_response(bytearray(raw), True)
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    assert split_response(bytearray(raw), False)[0].body == b"abc"


@pytest.mark.parametrize("wrong", [
    b'{"op":1,"data":1,"text":"a"}', b'{"op":1,"more":1}', b'{"op":"1"}', b'{"op":1,"op":2}',
    b'{"data":1}', b'{"op":1,"b64":"!"}', b'{"op":true}',
])
def test_json_messages_are_read_strictly(wrong):
    with pytest.raises((AssertionError, KeyError, ValueError)):
        decode_json(wrong)


GOOD = '# HELP a_total x\n# TYPE a_total counter\na_total{r="b"} 1\na_total{r="c"} 2.5\n'


def test_metrics_are_read():
    metrics = Metrics(GOOD.replace("a_total", "wspushd_a_total"))
    assert metrics.total("a_total") == 3.5 and metrics.total("a_total", r="b") == 1
    assert metrics.by_label("a_total", "r") == {"b": 1, "c": 2.5}


@pytest.mark.parametrize("wrong", [
    GOOD[:-1], GOOD + 'a_total{r="b"} 1\n', GOOD.replace("# HELP a_total x\n", ""),
    GOOD.replace("# TYPE a_total counter\n", ""), GOOD.replace("a_total", "a"),
    GOOD + "b 1\n", GOOD.replace(" 2.5", " two"), GOOD.replace('"c"', "c"),
    GOOD + "# HELP b x\n# TYPE b gauge\nb 1\n" + GOOD,
])
def test_metrics_are_read_strictly(wrong):
    with pytest.raises(AssertionError):
        Metrics(wrong)


def test_conf_is_written_as_libconfuse_reads_it(tmp_path):
    path = write_conf(tmp_path / "push.conf",
                      {"listen": ["[::1]:80", "unix:/a"], "workers": 2, "console": True,
                       "path": 'a"b\\', "odd": Raw("1 2")}, [opcode(110, to="echo", max=5)])
    assert path.read_text() == (
        'listen = {"[::1]:80", "unix:/a"}\nworkers = 2\nconsole = true\n'
        'path = "a\\"b\\\\"\nodd = 1 2\nopcode 110 { to = "echo" max = 5 }\n')
    assert parse_address("[::1]:80") == ("::1", 80)
    assert parse_address("unix:/a/b") == "/a/b"
