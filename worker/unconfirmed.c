/*
 * See unconfirmed.h.
 */
#include "worker/unconfirmed.h"

#include <stdlib.h>
#include <string.h>

void unconfirmed_add(struct unconfirmed *unconfirmed, const void *command, size_t len)
{
    if (unconfirmed->len + len > unconfirmed->size) {
        unconfirmed->size = 2 * (unconfirmed->len + len);
        unconfirmed->bytes = realloc(unconfirmed->bytes, unconfirmed->size);
        if (!unconfirmed->bytes)
            abort();
    }
    memcpy(unconfirmed->bytes + unconfirmed->len, command, len);
    unconfirmed->len += len;
}

void unconfirmed_drop(struct unconfirmed *unconfirmed, uint64_t batch, uint64_t last)
{
    if (unconfirmed->len == 0 || batch < unconfirmed->batch)
        return;
    unconfirmed->len -= unconfirmed->older;
    memmove(unconfirmed->bytes, unconfirmed->bytes + unconfirmed->older, unconfirmed->len);
    unconfirmed_sent(unconfirmed, last);
    if (unconfirmed->len == 0)
        unconfirmed_clear(unconfirmed);
}

void unconfirmed_sent(struct unconfirmed *unconfirmed, uint64_t last)
{
    unconfirmed->older = unconfirmed->len;
    unconfirmed->batch = last;
}

void unconfirmed_clear(struct unconfirmed *unconfirmed)
{
    free(unconfirmed->bytes);
    *unconfirmed = (struct unconfirmed){0};
}
