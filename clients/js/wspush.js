/*
 * A client of wspushd for browsers and Node.js: one file, no dependencies.
 *
 *   import { PushClient } from "./wspush.js";
 *
 *   const client = new PushClient("wss://app.example.org/serv/ws");
 *   client.on("ready", (hello) => fetchState());      // also after each reconnect
 *   client.on(110, (message) => show(message.data));  // a push with opcode 110
 *   client.send(110, { to: "7" });                    // a request
 *
 * It maintains the connection: it reconnects with growing random delays, as docs/protocol.md
 * requires of every client, detects a server that has silently gone, and gives up if the server
 * says so. It does not store messages: sending without a connection is refused, and the application
 * has to fetch missed pushes on "ready" and on "gap".
 *
 * Node.js 22 and browsers have a WebSocket; in older versions:
 * new PushClient(url, { WebSocket: require("ws") }).
 */

export const OPCODES = Object.freeze({
    ERROR: 0, HELLO: 1, PING: 2, PONG: 3, SUB: 4, SUBBED: 5, UNSUB: 6, UNSUBBED: 7,
    ACCEPTED: 8, GAP: 9, AUTH: 10, BYE: 11,
});

export const OPCODE_MAX = 16777215;

const names = Object.fromEntries(Object.entries(OPCODES).map(([name, op]) => [op, name]));

/* "HELLO" for 1; undefined for an application's opcode. */
export const opcodeName = (op) => names[op];

const utf8 = new TextDecoder("utf-8", { fatal: true });
const toUtf8 = new TextEncoder();

/* ---- Messages ---- */

/* The payload as bytes: any value that is neither bytes nor text is sent as JSON. */
function payloadBytes(payload) {
    if (payload === undefined) return new Uint8Array(0);
    if (payload instanceof Uint8Array) return payload;
    if (payload instanceof ArrayBuffer) return new Uint8Array(payload);
    return toUtf8.encode(typeof payload === "string" ? payload : JSON.stringify(payload));
}

/* A message of push.bin.v1: the opcode as four bytes, big-endian, then the payload. */
export function encode(op, payload) {
    if (!Number.isInteger(op) || op < 0 || op > OPCODE_MAX) throw new RangeError(`no opcode: ${op}`);
    const bytes = payloadBytes(payload);
    const out = new Uint8Array(4 + bytes.length);
    new DataView(out.buffer).setUint32(0, op);
    out.set(bytes, 4);
    return out;
}

/* { op, bytes, text, data }: text if the payload is UTF-8, data if it is JSON. */
export function decode(buffer) {
    const all = new Uint8Array(buffer);
    if (all.length < 4) throw new RangeError("a message begins with an opcode of 4 bytes");
    const message = {
        op: new DataView(all.buffer, all.byteOffset).getUint32(0),
        bytes: all.subarray(4),
        text: undefined,
        data: undefined,
    };
    try {
        message.text = utf8.decode(message.bytes);
        message.data = JSON.parse(message.text);
    } catch {
        /* then it is text only, or neither */
    }
    return message;
}

/* ---- Reconnecting ---- */

const FIRST_MS = 500;
const MOST_MS = 30000;

/* The longest wait before attempt number `attempt`, from 0. */
export const retryCeiling = (attempt) => Math.min(MOST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));

/* The codes after which a client must not reconnect by itself: the client's own mistakes, and 4000
 * to 4099 except "too slow" and "no heartbeat". */
export function mayReconnect(code) {
    if ([1000, 1002, 1003, 1007, 1009].includes(code)) return false;
    return !(code >= 4000 && code <= 4099) || code === 4008 || code === 4009;
}

/* ---- The client ---- */

const SILENCE_MS = 10000; /* for which a PING may go unanswered */

/*
 * Events, by client.on(name, listener):
 *
 *   "state"   (state, details)  "connecting", "open" (not yet ready), "ready", "waiting" with
 *                               { delay, code, reason }, "closed" with { code, reason }: for good
 *   "ready"   (hello)           from here on every push arrives
 *   "gap"     ({ ms })          pushes may be missing
 *   "accepted" ({ op, id })     Redis has stored a request
 *   "error"   ({ code, op, message })   a request was refused
 *   "bye"     ({ reason, reconnect_ms })
 *   "message" (message)         every message; a number as name: those with that opcode
 *   "sent"    (message)         a message was sent
 */
export class PushClient {
    #url; #WebSocket; #random; #socket = null; #state = "closed"; #attempt = 0; #byeDelay = null;
    #timer = null; #watch = null; #heard = 0; #asked = false; #heartbeat = 0; #listeners = new Map();
    #online = () => { if (this.#state === "waiting") this.connect(); };

    /* options: WebSocket, the class to use; connect: false to wait for connect(); random: () => 0..1 */
    constructor(url, options = {}) {
        this.#url = String(url);
        this.#WebSocket = options.WebSocket ?? globalThis.WebSocket;
        this.#random = options.random ?? Math.random;
        if (!this.#WebSocket) throw new TypeError("no WebSocket here: pass one in the options");
        if (options.connect !== false) queueMicrotask(() => this.connect());
    }

    get state() { return this.#state; }

    /* Returns a function that removes the listener. */
    on(name, listener) {
        const key = String(name);
        if (!this.#listeners.has(key)) this.#listeners.set(key, new Set());
        this.#listeners.get(key).add(listener);
        return () => this.#listeners.get(key).delete(listener);
    }

    /* Connects now unless there is a connection. */
    connect() {
        if (this.#socket) return;
        clearTimeout(this.#timer);
        globalThis.addEventListener?.("online", this.#online);
        this.#byeDelay = null;
        const socket = new this.#WebSocket(this.#url, ["push.bin.v1"]);
        this.#socket = socket;
        socket.binaryType = "arraybuffer";
        socket.onopen = () => this.#enter("open");
        socket.onmessage = (event) => this.#receive(event.data);
        socket.onerror = () => {}; /* "close" follows */
        socket.onclose = (event) => this.#ended(socket, event.code, event.reason);
        this.#enter("connecting");
    }

    /* Sends a request: payload as bytes, text, or any value that JSON can represent. Returns false
     * if there is no connection; "accepted" and "error" report the outcome. */
    send(op, payload) {
        if (this.#socket?.readyState !== 1) return false;
        const bytes = encode(op, payload);
        this.#socket.send(bytes);
        this.#emit("sent", decode(bytes));
        return true;
    }

    /* Ends the connection; only connect() reconnects. */
    close(code = 1000, reason = "") {
        clearTimeout(this.#timer);
        const socket = this.#socket;
        if (socket) {
            this.#detach(socket);
            socket.close(code, reason);
        }
        this.#finish(code, reason);
    }

    /* ---- Inside ---- */

    #emit(name, ...values) {
        for (const listener of [...(this.#listeners.get(String(name)) ?? [])]) {
            try {
                listener(...values);
            } catch (error) {
                /* An exception in a listener is reported, and the connection continues. */
                queueMicrotask(() => { throw error; });
            }
        }
    }

    #enter(state, details = {}) {
        this.#state = state;
        this.#emit("state", state, details);
    }

    #receive(data) {
        let message;
        this.#heard = Date.now();
        this.#asked = false;
        try {
            message = decode(data);
        } catch {
            return; /* no message of this protocol */
        }
        this.#emit("message", message);
        const system = this.#system[message.op];
        if (system) system(message.data ?? {}, message);
        else this.#emit(message.op, message);
    }

    /* Handles the server's own messages. */
    #system = {
        [OPCODES.HELLO]: (hello) => {
            this.#attempt = 0;
            this.#heartbeat = (hello.heartbeat || 25) * 1000;
            this.#keepWatch();
            this.#enter("ready", hello);
            this.#emit("ready", hello);
        },
        [OPCODES.PING]: (_, message) => { this.send(OPCODES.PONG, message.bytes); },
        [OPCODES.PONG]: () => {},
        [OPCODES.ERROR]: (error) => this.#emit("error", error),
        [OPCODES.ACCEPTED]: (accepted) => this.#emit("accepted", accepted),
        [OPCODES.GAP]: (gap) => this.#emit("gap", gap),
        [OPCODES.BYE]: (bye) => {
            this.#byeDelay = bye.reconnect_ms ?? null;
            this.#emit("bye", bye);
        },
    };

    /* Browsers show no WebSocket pings, so a connection that is lost silently (a laptop that slept,
     * a network that changed) is detected by a PING of ours that gets no answer. */
    #keepWatch() {
        clearInterval(this.#watch);
        this.#heard = Date.now();
        this.#watch = setInterval(() => {
            const silent = Date.now() - this.#heard;
            if (this.#asked && silent > this.#heartbeat + SILENCE_MS) {
                const socket = this.#socket;
                this.#detach(socket);
                socket.close();
                this.#retry(1006, "the server does not answer");
            } else if (!this.#asked && silent >= this.#heartbeat) {
                this.#asked = this.send(OPCODES.PING);
            }
        }, 1000);
        this.#watch.unref?.(); /* in Node.js, does not keep the process alive */
    }

    /* Abandons the socket: its later events are ignored. */
    #detach(socket) {
        clearInterval(this.#watch);
        socket.onopen = socket.onmessage = socket.onclose = null;
        this.#socket = null;
        this.#asked = false;
    }

    #ended(socket, code, reason) {
        this.#detach(socket);
        if (mayReconnect(code)) this.#retry(code, reason);
        else this.#finish(code, reason);
    }

    /* Full jitter: the clients of a server that stopped do not reconnect in waves. */
    #retry(code, reason) {
        const delay = this.#byeDelay ?? this.#random() * retryCeiling(this.#attempt++);
        this.#timer = setTimeout(() => this.connect(), delay);
        this.#enter("waiting", { delay, code, reason });
    }

    #finish(code, reason) {
        globalThis.removeEventListener?.("online", this.#online);
        this.#enter("closed", { code, reason });
    }
}
