// A push server on Socket.IO with its Redis adapter, as the documentation sets both up. A client
// joins the room of its user; a message that a backend publishes for the user is emitted to the
// room.
//
// To those of this node only (`local`): as every node gets each message, none has to tell the
// others, which would be one more PUBLISH for each push, and every push twice with two nodes.
//
//     node server.mjs PORT REDIS_PORT
import { createServer } from 'node:http';
import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

const [port, redisPort] = process.argv.slice(2).map(Number);

function connect(client) {
  return client.on('error', (error) => { throw error; }).connect();
}

const pubClient = createClient({ url: `redis://127.0.0.1:${redisPort}` });
const subClient = pubClient.duplicate();
const pushes = pubClient.duplicate();
await Promise.all([connect(pubClient), connect(subClient), connect(pushes)]);

const server = createServer();
const io = new Server(server, {
  adapter: createAdapter(pubClient, subClient),
  transports: ['websocket'],
  serveClient: false,
});

io.on('connection', (socket) => {
  socket.join(`push:user:${socket.handshake.query.user}`);
  socket.conn.request = null; // documentation, "Memory usage": the HTTP request may be discarded
});

await pushes.pSubscribe('push:user:*', (text, channel) => io.local.to(channel).emit('push', text));
await pushes.subscribe('push:all', (text) => io.local.emit('push', text));
server.listen({ port, host: '127.0.0.1', backlog: 4096 }, () => console.log('READY'));
