/*
 * See hint.h. The distance of two names is the number of letters that must be inserted, deleted,
 * replaced or swapped with their neighbour to turn one into the other (optimal string alignment).
 * Case is ignored.
 */
#include "proto/hint.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { NAME_MAX_LEN = 24 }; /* a longer name resembles no known name */

/* What other push servers, and people, call our members: X(theirs, ours) */
#define SYNONYMS(X)          \
    X("payload", "data")     \
    X("body", "data")        \
    X("content", "data")     \
    X("message", "data")     \
    X("msg", "data")         \
    X("json", "data")        \
    X("value", "data")       \
    X("string", "text")      \
    X("base64", "b64")       \
    X("binary", "b64")       \
    X("bytes", "b64")        \
    X("opcode", "op")        \
    X("code", "op")          \
    X("type", "op")          \
    X("event", "op")         \
    X("expire", "ttl")       \
    X("expires", "ttl")      \
    X("expiry", "ttl")       \
    X("exclude", "except")   \
    X("connection", "conn")  \
    X("client", "conn")      \
    X("uid", "user")         \
    X("user_id", "user")     \
    X("userid", "user")      \
    X("to", "user")          \
    X("recipient", "user")   \
    X("recipients", "users") \
    X("channel", "topic")    \
    X("room", "topic")       \
    X("channels", "topics")  \
    X("rooms", "topics")     \
    X("broadcast", "all")    \
    X("message", "reason")   \
    X("status", "code")

static const struct {
    const char *theirs, *ours;
} synonyms[] = {
#define SYNONYM_ROW(theirs, ours) {(theirs), (ours)},
    SYNONYMS(SYNONYM_ROW)
#undef SYNONYM_ROW
};

static char lowercase_letter(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static unsigned smaller_number(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static unsigned name_edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned row[NAME_MAX_LEN + 1][NAME_MAX_LEN + 1];
    for (size_t i = 0; i <= a_len; i++)
        row[i][0] = (unsigned)i;
    for (size_t k = 0; k <= b_len; k++)
        row[0][k] = (unsigned)k;
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t k = 1; k <= b_len; k++) {
            const bool same = lowercase_letter(a[i - 1]) == lowercase_letter(b[k - 1]);
            row[i][k] = smaller_number(smaller_number(row[i - 1][k], row[i][k - 1]) + 1,
                                       row[i - 1][k - 1] + !same);
            if (i > 1 && k > 1 && lowercase_letter(a[i - 1]) == lowercase_letter(b[k - 2]) &&
                lowercase_letter(a[i - 2]) == lowercase_letter(b[k - 1]))
                row[i][k] = smaller_number(row[i][k], row[i - 2][k - 2] + 1);
        }
    }
    return row[a_len][b_len];
}

/* Returns the distance of `name` from `known`, or UINT32_MAX if they are too different. */
static unsigned distance_if_near(const char *name, size_t len, const char *known)
{
    const size_t known_len = strlen(known);
    const unsigned most = known_len > 4 ? 2 : 1;
    if (len == 0 || len > NAME_MAX_LEN || known_len > NAME_MAX_LEN)
        return UINT32_MAX;
    const unsigned found = name_edit_distance(name, len, known, known_len);
    return found <= most ? found : UINT32_MAX;
}

static const char *find_known_name(const struct names *known, const char *name)
{
    for (size_t i = 0; i < known->count; i++)
        if (strcmp(known->at[i], name) == 0)
            return known->at[i];
    return NULL;
}

const char *hint_for(const char *name, size_t len, const struct names *known)
{
    const char *best = NULL;
    unsigned best_distance = UINT32_MAX;
    for (size_t i = 0; i < known->count; i++) {
        const unsigned found = distance_if_near(name, len, known->at[i]);
        if (found < best_distance) {
            best = known->at[i];
            best_distance = found;
        }
    }
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++) {
        const unsigned found = distance_if_near(name, len, synonyms[i].theirs);
        const char *ours = found < best_distance ? find_known_name(known, synonyms[i].ours) : NULL;
        if (ours) {
            best = ours;
            best_distance = found;
        }
    }
    return best;
}
