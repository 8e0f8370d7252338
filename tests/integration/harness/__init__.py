"""What the integration tests stand on: real servers, a real Redis, and a client that may lie.

net.py           free ports, sockets to TCP and unix addresses
wait.py          waiting for events instead of sleeping
http.py          request heads, right and wrong, and strict responses
frames.py        WebSocket frames, right and wrong, and a strict reader
client.py        one client, blocking; and a swarm of thousands in one thread
redis_server.py  a private redis-server that may be killed and started again
admin.py         the admin interface: the one place that knows its JSON shapes and metric names
browser.py       Debian's Chromium, driven over a WebSocket
nginx.py         Debian's nginx with a site file of scripts/nginx
bench.py         wspush-bench, and servers for it that are not ours
backend.py       the example backend
publisher.py     numbered pushes while something happens, and whether all came
systemd.py       systemd's side: the notify socket, sockets that are passed
server.py        push.conf, wspushd, and the checks that follow every test
"""
