// A push server on ws, as its README builds one, and node-redis: a map from a user's channel to the
// sockets of the user, and one subscription for all. A message from Redis stays a Buffer, and is
// sent as text, as in the README's broadcast.
//
//     node server.mjs PORT REDIS_PORT
import { createServer } from 'node:http';
import { createClient } from 'redis';
import { WebSocketServer } from 'ws';

const [port, redisPort] = process.argv.slice(2).map(Number);
const HEARTBEAT = 600_000; // ms: as wspushd is configured while it is measured; the README has 30 s

const users = new Map(); // channel: Set of WebSocket

function enter(socket, channel) {
  const sockets = users.get(channel);
  if (sockets) sockets.add(socket);
  else users.set(channel, new Set([socket]));
}

function leave(socket, channel) {
  const sockets = users.get(channel);
  sockets.delete(socket);
  if (sockets.size === 0) users.delete(channel);
}

function send(sockets, payload) {
  for (const socket of sockets) socket.send(payload, { binary: false });
}

function push(payload, channel) {
  send(users.get(channel.toString('latin1')) ?? [], payload);
}

function pushAll(payload) {
  for (const sockets of users.values()) send(sockets, payload);
}

// A client that has not answered the last ping is gone (README, "How to detect and close broken
// connections?").
function beat() {
  for (const sockets of users.values()) {
    for (const socket of sockets) {
      if (!socket.isAlive) socket.terminate();
      socket.isAlive = false;
      socket.ping();
    }
  }
}

function connected(socket, request) {
  const user = new URLSearchParams(request.url.slice(request.url.indexOf('?'))).get('user');
  const channel = `push:user:${user}`;
  enter(socket, channel);
  socket.isAlive = true;
  socket.on('error', console.error);
  socket.on('pong', () => { socket.isAlive = true; });
  socket.on('close', () => leave(socket, channel));
}

const redis = await createClient({ url: `redis://127.0.0.1:${redisPort}` })
  .on('error', (error) => { throw error; })
  .connect();
await redis.pSubscribe('push:user:*', push, true);
await redis.subscribe('push:all', pushAll, true);

const server = createServer();
new WebSocketServer({ server, path: '/ws', perMessageDeflate: false, clientTracking: false })
  .on('connection', connected);
setInterval(beat, HEARTBEAT);
server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => console.log('READY'));
