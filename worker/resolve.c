/*
 * See resolve.h. The resolver and its sockets exist only while a name is being looked up.
 */
#include "worker/resolve.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

struct lookup {
    struct worker *worker;
    struct evdns_base *dns;
    resolve_done *done;
};

static void lookup_done(int error, struct evutil_addrinfo *found, void *arg)
{
    struct lookup *lookup = arg;
    if (error || !found)
        lookup->done(lookup->worker, NULL, 0, evutil_gai_strerror(error));
    else
        lookup->done(lookup->worker, found->ai_addr, (socklen_t)found->ai_addrlen, NULL);
    if (found)
        evutil_freeaddrinfo(found);
    evdns_base_free(lookup->dns, 0);
    free(lookup);
}

static void look_up(struct worker *worker, const struct redis_address *address, const char *port,
                    resolve_done *done)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    struct evdns_base *dns = lookup ? evdns_base_new(worker->base, 1) : NULL;
    const struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (!dns) {
        free(lookup);
        done(worker, NULL, 0, "no resolver");
        return;
    }
    *lookup = (struct lookup){.worker = worker, .dns = dns, .done = done};
    evdns_getaddrinfo(dns, address->host, port, &hints, lookup_done, lookup);
}

static void by_path(struct worker *worker, const char *path, resolve_done *done)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(addr.sun_path)) {
        done(worker, NULL, 0, "the socket's path is too long");
        return;
    }
    memcpy(addr.sun_path, path, strlen(path));
    done(worker, (const struct sockaddr *)&addr, sizeof(addr), NULL);
}

void resolve(struct worker *worker, const struct redis_address *address, resolve_done *done)
{
    char port[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (address->is_unix) {
        by_path(worker, address->host, done);
        return;
    }
    snprintf(port, sizeof(port), "%u", address->port);
    if (getaddrinfo(address->host, port, &hints, &found) == 0) {
        done(worker, found->ai_addr, found->ai_addrlen, NULL);
        freeaddrinfo(found);
        return;
    }
    look_up(worker, address, port, done);
}
