/*
 * Tests of clients/js/wspush.js in Node.js, run by test_js_client.py: node client.mjs TEST URL. With
 * "live" it talks to a real server; all else is about a WebSocket that the test plays itself.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { OPCODES, PushClient, decode, encode, mayReconnect, opcodeName, retryCeiling } from
    "../../clients/js/wspush.js";

const turn = (ms = 0) => new Promise((resolve) => setTimeout(resolve, ms));

/* What the tests see of a connection, and what they make it do. */
class FakeSocket {
    static made = [];
    constructor(url, protocols) {
        Object.assign(this, { url, protocols, readyState: 0, sent: [], closed: null });
        FakeSocket.made.push(this);
    }
    send(bytes) { this.sent.push(decode(bytes)); }
    close(code, reason) { this.closed = [code, reason]; this.readyState = 3; }
    /* The server's side. */
    open() { this.readyState = 1; this.onopen?.({}); }
    say(op, payload) { this.onmessage?.({ data: encode(op, payload).buffer }); }
    hello(heartbeat = 25) { this.open(); this.say(OPCODES.HELLO, { conn: "c", user: "42", heartbeat }); }
    end(code, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); }
}

function fake(options = {}) {
    FakeSocket.made = [];
    const client = new PushClient("ws://x/ws", { WebSocket: FakeSocket, connect: false, ...options });
    const states = [];
    client.on("state", (state, details) => states.push([state, details]));
    client.connect();
    return { client, states, last: () => FakeSocket.made.at(-1) };
}

const tests = {
    codec() {
        const known = Uint8Array.from([0, 0, 0, 0x6e, 0xe6, 0x88, 0x91, 0xe4, 0xbb, 0xac, 0xe9, 0x83,
            0xbd, 0xe5, 0xa5, 0xbd]); /* docs/protocol.md */
        assert.deepEqual(encode(110, "我们都好"), known);
        assert.equal(decode(known).text, "我们都好");
        assert.deepEqual(decode(encode(7, { a: [1, "é"] })).data, { a: [1, "é"] });
        assert.deepEqual([...decode(encode(1, new Uint8Array([255, 0]))).bytes], [255, 0]);
        assert.equal(decode(encode(1, new Uint8Array([255]))).text, undefined);
        assert.equal(decode(encode(16777215)).op, 16777215);
        assert.equal(decode(encode(3)).bytes.length, 0);
        /* Node.js's buffers are views into larger ones. */
        assert.equal(decode(Buffer.from([9, 9, 0, 0, 0, 5, 65]).subarray(2)).op, 5);
        for (const op of [-1, 1.5, 16777216, NaN, "110"]) assert.throws(() => encode(op), RangeError);
        assert.throws(() => decode(new Uint8Array(3)), RangeError);
        assert.equal(opcodeName(1), "HELLO");
        assert.equal(opcodeName(110), undefined);
    },

    rules() {
        for (const code of [1000, 1002, 1003, 1007, 1009, 4000, 4001, 4002, 4003, 4007, 4010, 4099])
            assert.equal(mayReconnect(code), false, code);
        for (const code of [1001, 1005, 1006, 1011, 1012, 1013, 3000, 4008, 4009, 4100, 4999])
            assert.equal(mayReconnect(code), true, code);
        assert.deepEqual([0, 1, 2, 5, 6, 7, 1000].map(retryCeiling),
            [500, 1000, 2000, 16000, 30000, 30000, 30000]);
    },

    async backs_off_and_begins_anew_after_hello() {
        const { client, states, last } = fake({ random: () => 0.001 });
        const delays = [];
        for (let i = 0; i < 4; i++) {
            last().end(1006);
            delays.push(states.at(-1)[1].delay);
            await turn(20);
        }
        assert.deepEqual(delays.map((delay) => Math.round(delay * 1000)), [500, 1000, 2000, 4000]);
        assert.equal(FakeSocket.made.length, 5);
        last().hello();
        last().end(1012);
        assert.equal(states.at(-1)[1].delay, 0.5);
        client.close();
    },

    async comes_back_when_bye_says() {
        const { client, states, last } = fake();
        last().hello();
        last().say(OPCODES.BYE, { reason: "drain", reconnect_ms: 30 });
        last().end(1001);
        assert.deepEqual([states.at(-1)[0], states.at(-1)[1].delay], ["waiting", 30]);
        assert.equal(FakeSocket.made.length, 1);
        await turn(60);
        assert.equal(FakeSocket.made.length, 2);
        last().hello();
        last().end(1006);
        assert.notEqual(states.at(-1)[1].delay, 30, "BYE counts once");
        client.close();
    },

    async stays_away_when_told() {
        for (const code of [4001, 4003, 1009]) {
            const { client, states, last } = fake({ random: () => 0 });
            last().hello();
            last().end(code, "why");
            assert.deepEqual(states.at(-1), ["closed", { code, reason: "why" }]);
            await turn(20);
            assert.equal(FakeSocket.made.length, 1);
            client.connect();
            assert.equal(FakeSocket.made.length, 2);
            client.close();
        }
    },

    async close_is_for_good_even_while_waiting() {
        const { client, states, last } = fake({ random: () => 0.01 });
        last().end(1006);
        client.close();
        await turn(30);
        assert.equal(FakeSocket.made.length, 1);
        assert.equal(client.state, "closed");
        client.connect();
        last().hello();
        client.close();
        assert.deepEqual(last().closed, [1000, ""]);
        last().end(1000); /* what the old socket still says is not heard */
        assert.equal(states.filter(([state]) => state === "closed").length, 2);
    },

    async notices_a_server_that_is_silently_gone() {
        /* The clock is the test's, and so is the tick of the watch. */
        const { now } = Date, { setInterval } = globalThis;
        let time = now(), tick;
        const pass = (ms) => { time += ms; tick(); };
        Date.now = () => time;
        globalThis.setInterval = (watch) => {
            tick = watch;
            return setInterval(() => {}, 1 << 30);
        };
        try {
            const { client, states, last } = fake({ random: () => 1 });
            const first = last();
            first.hello(1);
            pass(900);
            assert.deepEqual(first.sent, []);
            pass(100);
            assert.deepEqual(first.sent.map((message) => message.op), [OPCODES.PING]);
            first.say(OPCODES.PONG);
            pass(1000);
            assert.equal(first.sent.length, 2);
            pass(9000);
            assert.equal(first.readyState, 1);
            pass(1000);
            assert.equal(first.readyState, 1);
            pass(1);
            const [, details] = states.find(([state]) => state === "waiting");
            assert.equal(details.code, 1006);
            assert.equal(first.readyState, 3);
            client.close();
        } finally {
            Object.assign(globalThis, { setInterval });
            Date.now = now;
        }
    },

    async events() {
        const { client, last } = fake();
        const seen = [];
        for (const name of ["ready", "gap", "accepted", "error", "bye", 110])
            client.on(name, (value) => seen.push([name, value.data ?? value]));
        const off = client.on("message", () => seen.push("never"));
        off();
        assert.equal(client.send(110, { to: "7" }), false, "no connection yet");
        last().hello();
        assert.equal(client.send(110, { to: "7" }), true);
        assert.deepEqual(last().sent[0].data, { to: "7" });
        last().say(110, { from: "7" });
        last().say(OPCODES.GAP, { ms: 5 });
        last().say(OPCODES.ACCEPTED, { op: 110, id: "1-0" });
        last().say(OPCODES.ERROR, { code: "rate_limited", op: 110 });
        last().onmessage({ data: new Uint8Array(2).buffer }); /* no message: passed over */
        last().say(OPCODES.PING, "mark");
        assert.deepEqual([last().sent[1].op, last().sent[1].text], [OPCODES.PONG, "mark"]);
        assert.deepEqual(seen.slice(1), [[110, { from: "7" }], ["gap", { ms: 5 }],
            ["accepted", { op: 110, id: "1-0" }], ["error", { code: "rate_limited", op: 110 }]]);
        client.close();
    },

    async a_listener_that_throws_harms_nobody() {
        const { client, last } = fake();
        const heard = [], thrown = [];
        process.on("uncaughtException", (error) => thrown.push(error.message));
        client.on(110, () => { throw new Error("mine"); });
        client.on(110, (message) => heard.push(message.data));
        last().hello();
        last().say(110, 1);
        last().say(110, 2);
        await turn(10);
        assert.deepEqual([heard, thrown], [[1, 2], ["mine", "mine"]]);
        client.close();
    },

    async live(url) {
        const WebSocket = createRequire(import.meta.url)("/usr/share/nodejs/ws"); /* Debian's */
        const client = new PushClient(url, { WebSocket });
        const wait = (name) => new Promise((resolve) => client.on(name, resolve));
        const echo = wait(100), pushed = wait(110);
        const hello = await wait("ready");
        assert.equal(hello.user, "42");
        client.send(100, "hello");
        assert.equal((await echo).text, "hello");
        console.log("ready");
        assert.deepEqual((await pushed).data, { from: "7", text: "我们都好" });
        console.log("pushed");
        const again = wait("ready");
        console.log("restart");
        await again;
        console.log("again");
        await new Promise((resolve) => client.on("state", (state, { code }) => {
            if (state === "closed") resolve(assert.equal(code, 4001));
        }));
        console.log("kicked");
    },
};

const [name, url] = process.argv.slice(2);
if (name === "list") console.log(Object.keys(tests).filter((each) => each !== "live").join("\n"));
else await tests[name](url);
