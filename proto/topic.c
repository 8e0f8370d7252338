/*
 * Names of topics and the patterns that allow them. A pattern is a sequence of pieces separated by
 * stars: the first piece must start the name, the last must end it, and each piece in between is
 * searched for after the end of the previous one. The first match is as good as any later one, so
 * there is no backtracking, and a match costs at most the product of the lengths.
 *
 * A pattern is assumed to be well formed: common/config has checked it.
 */
#include "proto/topic.h"

#include <string.h>

#include "proto/utf8.h"

bool topic_name_valid(const char *name, size_t len)
{
    return len >= 1 && len <= TOPIC_MAX && utf8_valid(name, len) && !utf8_has_control(name, len);
}

static const char hole[] = "{user}";
enum { HOLE = sizeof(hole) - 1 };

struct text {
    const char *at;
    size_t len;
};

/* Takes the next literal of a piece: the text up to a {user}, or the user that replaces it. */
static struct text take_next_literal(struct text *piece, struct text user)
{
    const char *const next = memmem(piece->at, piece->len, hole, HOLE);
    struct text text = {piece->at, next ? (size_t)(next - piece->at) : piece->len};
    size_t used = text.len;

    if (next == piece->at) {
        text = user;
        used = HOLE;
    }
    piece->at += used;
    piece->len -= used;
    return text;
}

static size_t measure_pattern_piece(struct text piece, struct text user)
{
    size_t len = 0;

    while (piece.len > 0)
        len += take_next_literal(&piece, user).len;
    return len;
}

/* True if the name starts with the piece. */
static bool name_begins_with(struct text name, struct text piece, struct text user)
{
    while (piece.len > 0) {
        const struct text text = take_next_literal(&piece, user);
        if (text.len > name.len || memcmp(name.at, text.at, text.len) != 0)
            return false;
        name.at += text.len;
        name.len -= text.len;
    }
    return true;
}

static struct text skip_text_bytes(struct text text, size_t len)
{
    return (struct text){text.at + len, text.len - len};
}

/* Returns the piece up to the next star, or the whole pattern. */
static struct text take_first_piece(const char *pattern)
{
    return (struct text){pattern, strcspn(pattern, "*")};
}

bool topic_matches(const char *pattern, const char *at, size_t len, const char *user_at,
                   size_t user_len)
{
    const struct text user = {user_at, user_len};
    struct text name = {at, len}, piece = take_first_piece(pattern);

    if (!name_begins_with(name, piece, user))
        return false;
    name = skip_text_bytes(name, measure_pattern_piece(piece, user));
    while (piece.at[piece.len] == '*') {
        piece = take_first_piece(piece.at + piece.len + 1);
        const size_t size = measure_pattern_piece(piece, user);
        if (size > name.len)
            return false;
        if (piece.at[piece.len] == '\0')
            return name_begins_with(skip_text_bytes(name, name.len - size), piece, user);
        while (!name_begins_with(name, piece, user)) {
            if (name.len == 0)
                return false;
            name = skip_text_bytes(name, 1);
        }
        name = skip_text_bytes(name, size);
    }
    return name.len == 0;
}
