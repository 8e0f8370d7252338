/*
 * The byte stream below a connection. All addresses of a name are tried in the order of
 * getaddrinfo(3). TLS is OpenSSL's, 1.2 or later, verified against the system's certificates and
 * the URL's host (RFC 2818, SSL_set1_host()) unless verification was switched off. This layer hides
 * TLS's partial writes and "want read to write": the layer above sees a plain non-blocking stream.
 */
#include "tools/wspush_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static void fail_stream(struct net *net, const char *what, const char *why)
{
    net->state = NET_FAILED;
    snprintf(net->error, sizeof(net->error), "%s: %s", what, why);
}

/* Records why TLS failed: the certificate, OpenSSL's error or the system's. */
static void fail_tls_stream(struct net *net, int result)
{
    const int saved = errno;
    const long verdict = net->tls != NULL ? SSL_get_verify_result(net->tls) : X509_V_OK;
    const unsigned long code = ERR_peek_last_error();
    const char *why = ERR_reason_error_string(code);
    if (verdict != X509_V_OK && !net->insecure) {
        net->untrusted = true;
        why = X509_verify_cert_error_string(verdict);
    } else if (why == NULL) {
        why = result == SSL_ERROR_SYSCALL && saved != 0 ? strerror(saved)
                                                        : "the server closed the connection";
    }
    fail_stream(net, net->untrusted ? "the server's certificate is not trusted" : "TLS", why);
    ERR_clear_error();
    errno = EPROTO;
}

static bool start_address_connect(struct net *net, int family, const struct sockaddr *addr,
                                  socklen_t len)
{
    net->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (net->fd == -1)
        return false;
    if (family != AF_UNIX)
        setsockopt(net->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (connect(net->fd, addr, len) == 0 || errno == EINPROGRESS)
        return true;
    const int saved = errno;
    close(net->fd);
    net->fd = -1;
    errno = saved;
    return false;
}

/* Starts with the current address, or the first one after it that does not fail immediately. */
static void try_next_addresses(struct net *net)
{
    for (; net->address != NULL; net->address = net->address->ai_next) {
        if (start_address_connect(net, net->address->ai_family, net->address->ai_addr,
                                  net->address->ai_addrlen))
            return;
    }
    fail_stream(net, (const char *)net->url->authority.at, strerror(errno));
}

static void open_tcp_stream(struct net *net)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    const int result = getaddrinfo((const char *)net->url->host.at, (const char *)net->url->port.at,
                                   &hints, &net->list);
    if (result != 0) {
        net->list = NULL;
        fail_stream(net, (const char *)net->url->host.at,
                    result == EAI_SYSTEM ? strerror(errno) : gai_strerror(result));
        return;
    }
    net->address = net->list;
    try_next_addresses(net);
}

static void open_unix_stream(struct net *net)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    memcpy(addr.sun_path, net->url->host.at,
           net->url->host.len); /* url_parse() has checked the length */
    if (!start_address_connect(net, AF_UNIX, (const struct sockaddr *)&addr, sizeof(addr)))
        fail_stream(net, (const char *)net->url->host.at, strerror(errno));
}

void net_open(struct net *net, const struct url *url, bool insecure)
{
    *net = (struct net){.state = NET_CONNECTING, .fd = -1, .url = url, .insecure = insecure};
    if (url->is_unix)
        open_unix_stream(net);
    else
        open_tcp_stream(net);
}

/* Sets the name that the certificate must have: an address, or a host name, which is also sent
 * (SNI). */
static bool expect_certificate_host(SSL *tls, const char *host)
{
    uint8_t address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls), host) == 1;
    return SSL_set_tlsext_host_name(tls, host) == 1 && SSL_set1_host(tls, host) == 1;
}

static bool prepare_tls_session(struct net *net)
{
    static const unsigned char http1[] = "\x08http/1.1"; /* ALPN, RFC 7301 */

    net->tls_context = SSL_CTX_new(TLS_client_method());
    if (net->tls_context == NULL)
        return false;
    SSL_CTX_set_min_proto_version(net->tls_context, TLS1_2_VERSION);
    SSL_CTX_set_default_verify_paths(net->tls_context);
    SSL_CTX_set_verify(net->tls_context, net->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(net->tls_context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    net->tls = SSL_new(net->tls_context);
    return net->tls != NULL && SSL_set_alpn_protos(net->tls, http1, sizeof(http1) - 1) == 0 &&
           expect_certificate_host(net->tls, (const char *)net->url->host.at) &&
           SSL_set_fd(net->tls, net->fd) == 1;
}

/* Converts the result of a TLS call that did not succeed: EAGAIN if it only has to wait. */
static ssize_t convert_tls_result(struct net *net, int returned)
{
    const int result = SSL_get_error(net->tls, returned);
    net->tls_wants_write = result == SSL_ERROR_WANT_WRITE;
    if (result == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (result == SSL_ERROR_WANT_READ || result == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else
        fail_tls_stream(net, result);
    return -1;
}

static void continue_tls_handshake(struct net *net)
{
    ERR_clear_error();
    errno = 0;
    const int returned = SSL_connect(net->tls);
    if (returned == 1) {
        net->tls_wants_write = false;
        net->state = NET_READY;
    } else if (convert_tls_result(net, returned) == 0) {
        fail_tls_stream(net, SSL_ERROR_ZERO_RETURN);
    }
}

static void continue_address_connect(struct net *net)
{
    int error = 0;
    getsockopt(net->fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){sizeof(error)});
    if (error != 0 && net->address != NULL) {
        close(net->fd);
        net->fd = -1;
        net->address = net->address->ai_next;
        errno = error;
        try_next_addresses(net);
    } else if (error != 0) {
        fail_stream(net, (const char *)net->url->host.at, strerror(error));
    } else if (!net->url->tls) {
        net->state = NET_READY;
    } else if (prepare_tls_session(net)) {
        net->state = NET_TLS;
        continue_tls_handshake(net);
    } else {
        fail_tls_stream(net, SSL_ERROR_SSL);
    }
}

void net_continue(struct net *net)
{
    if (net->state == NET_CONNECTING)
        continue_address_connect(net);
    else if (net->state == NET_TLS)
        continue_tls_handshake(net);
}

short net_poll_events(const struct net *net, bool output)
{
    if (net->state == NET_CONNECTING)
        return POLLOUT;
    if (net->state == NET_TLS)
        return net->tls_wants_write ? POLLOUT : POLLIN;
    return output || net->tls_wants_write ? POLLIN | POLLOUT : POLLIN;
}

bool net_has_pending(const struct net *net)
{
    return net->state == NET_READY && net->tls != NULL && SSL_pending(net->tls) > 0;
}

/* Records the error of a plain socket. Returns the result of the call. */
static ssize_t check_socket_result(struct net *net, ssize_t result)
{
    if (result == -1 && errno == EINTR)
        errno = EAGAIN;
    if (result == -1 && errno != EAGAIN) {
        const int saved = errno;
        fail_stream(net, "connection lost", strerror(saved));
        errno = saved;
    }
    return result;
}

ssize_t net_read(struct net *net, void *buf, size_t len)
{
    if (net->tls == NULL)
        return check_socket_result(net, recv(net->fd, buf, len, 0));
    ERR_clear_error();
    errno = 0;
    size_t got;
    const int returned = SSL_read_ex(net->tls, buf, len, &got);
    return returned == 1 ? (ssize_t)got : convert_tls_result(net, returned);
}

ssize_t net_write(struct net *net, const void *buf, size_t len)
{
    if (net->tls == NULL)
        return check_socket_result(net, send(net->fd, buf, len, MSG_NOSIGNAL));
    ERR_clear_error();
    errno = 0;
    size_t sent;
    const int returned = SSL_write_ex(net->tls, buf, len, &sent);
    return returned == 1 ? (ssize_t)sent : convert_tls_result(net, returned);
}

void net_close(struct net *net)
{
    if (net->state == NET_CLOSED)
        return;
    if (net->state == NET_READY && net->tls != NULL)
        SSL_shutdown(net->tls); /* sends close_notify, does not wait for the peer's */
    SSL_free(net->tls);
    SSL_CTX_free(net->tls_context);
    if (net->list != NULL)
        freeaddrinfo(net->list);
    if (net->fd != -1)
        close(net->fd);
    *net = (struct net){.state = NET_CLOSED, .fd = -1};
}
