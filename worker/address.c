/*
 * See address.h. Only an address that is the client's own, not that of a proxy in between, is
 * counted (limits.h): otherwise all clients behind the proxy would share one address's limit.
 */
#include "worker/address.h"

#include "worker/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void address_accepted(struct worker *worker, struct conn *conn, const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
        memcpy(conn->address, mapped, sizeof(mapped));
        memcpy(conn->address + sizeof(mapped), &in->sin_addr, 4);
        conn->port = ntohs(in->sin_port);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)addr;
        memcpy(conn->address, &in->sin6_addr, sizeof(conn->address));
        conn->port = ntohs(in->sin6_port);
    } else {
        conn_set(conn, CONN_UNIX);
    }
    if (config_trusts(worker->config, addr))
        conn_set(conn, CONN_TRUSTED);
    else
        limits_count(worker, conn);
}

void address_named(struct worker *worker, struct conn *conn, const uint8_t address[16],
                   uint16_t port)
{
    memcpy(conn->address, address, sizeof(conn->address));
    conn->port = port;
    conn_clear(conn, CONN_UNIX);
    if (config_trusts_address(worker->config, address))
        return;
    conn_clear(conn, CONN_TRUSTED);
    limits_count(worker, conn);
}

const char *address_text(const struct conn *conn, char out[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN], port[8] = "";
    const bool v4 = memcmp(conn->address, mapped, sizeof(mapped)) == 0;
    if (conn_has(conn, CONN_UNIX)) {
        snprintf(out, ADDRESS_TEXT_MAX, "unix");
        return out;
    }
    if (conn->port)
        snprintf(port, sizeof(port), ":%u", conn->port);
    if (v4)
        inet_ntop(AF_INET, conn->address + sizeof(mapped), host, sizeof(host));
    else
        inet_ntop(AF_INET6, conn->address, host, sizeof(host));
    snprintf(out, ADDRESS_TEXT_MAX, v4 || !conn->port ? "%s%s" : "[%s]%s", host, port);
    return out;
}
