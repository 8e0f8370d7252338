"""Support for the integration tests: real servers, a real Redis, and clients that may break the rules.

net.py           free ports, sockets to TCP and unix addresses
wait.py          waits for events instead of sleeping
http.py          valid and invalid request heads, and a strict parser of responses
frames.py        valid and invalid WebSocket frames, and a strict reader
client.py        one blocking client, and a swarm of thousands in one thread
redis_server.py  a private redis-server that tests can kill and restart
admin.py         the admin interface: the only place with its JSON shapes and metric names
browser.py       Debian's Chromium, driven over a WebSocket
nginx.py         Debian's nginx with a site file of scripts/nginx
bench.py         wspush-bench, and servers other than wspushd for it to measure
backend.py       the example backend
publisher.py     numbered pushes in the background, and a check that all arrived
systemd.py       systemd's side: the notify socket and passed sockets
server.py        push.conf, wspushd, and the checks after every test
"""
