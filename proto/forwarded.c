/*
 * See forwarded.h. A header that occurs several times is one list (RFC 9110 §5.3). The list is read
 * from the left, and each address that is not a trusted proxy replaces the previous candidate, so
 * the last one remains. An element that is not an address ("unknown", an invented name) hides
 * everything to its left: the search starts again after it.
 *
 * Forwarded (RFC 7239) is not read: a proxy that sets one of the two headers may pass on the
 * client's own copy of the other.
 */
#include "proto/forwarded.h"

#include <arpa/inet.h>
#include <string.h>

enum { TEXT_MAX = INET6_ADDRSTRLEN };

/* Strips the port and the brackets from "[2001:db8::1]:80" or "192.0.2.1:80". */
static struct slice strip_address_port(struct slice text)
{
    if (text.len > 0 && text.at[0] == '[') {
        const char *const end = memchr(text.at, ']', text.len);
        return end ? (struct slice){text.at + 1, (size_t)(end - text.at) - 1}
                   : (struct slice){text.at, 0};
    }
    const char *const colon = memchr(text.at, ':', text.len);
    const bool only = colon && !memchr(colon + 1, ':', text.len - (size_t)(colon - text.at) - 1);
    return only ? (struct slice){text.at, (size_t)(colon - text.at)} : text;
}

bool address_parse(struct slice text, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char copy[TEXT_MAX];
    const struct slice address = strip_address_port(text);
    if (address.len == 0 || address.len >= sizeof(copy) || memchr(address.at, '\0', address.len))
        return false;
    memcpy(copy, address.at, address.len);
    copy[address.len] = '\0';
    if (inet_pton(AF_INET6, copy, out) == 1)
        return true;
    memcpy(out, mapped, sizeof(mapped));
    return inet_pton(AF_INET, copy, out + sizeof(mapped)) == 1;
}

bool forwarded_client(const struct http_request *request, address_trusted *trusted,
                      const void *context, uint8_t out[16])
{
    bool found = false;
    size_t from = 0;
    const struct slice *value;
    while ((value = http_header_next(request, "X-Forwarded-For", &from)) != NULL) {
        struct slice rest = *value, element;
        while (http_list_next(&rest, &element)) {
            uint8_t address[16];
            if (!address_parse(element, address)) {
                found = false;
            } else if (!found || !trusted(context, address)) {
                memcpy(out, address, sizeof(address));
                found = true;
            }
        }
    }
    return found;
}
