/*
 * Names of topics and the patterns that allow them. A pattern is a row of pieces parted by stars:
 * the first piece must begin the name, the last must end it, and each between is looked for from
 * where the one before it ended. The first place found is as good as any later one, so there is no
 * going back, and a match costs at most the product of the lengths.
 *
 * A pattern is trusted to be well formed: common/config has checked it.
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

/* Takes the next literal of a piece: up to a hole, or what fills it. */
static struct text literal(struct text *piece, struct text user)
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

static size_t piece_len(struct text piece, struct text user)
{
    size_t len = 0;

    while (piece.len > 0)
        len += literal(&piece, user).len;
    return len;
}

/* Whether the name begins with the piece. */
static bool begins(struct text name, struct text piece, struct text user)
{
    while (piece.len > 0) {
        const struct text text = literal(&piece, user);
        if (text.len > name.len || memcmp(name.at, text.at, text.len) != 0)
            return false;
        name.at += text.len;
        name.len -= text.len;
    }
    return true;
}

static struct text behind(struct text text, size_t len)
{
    return (struct text){text.at + len, text.len - len};
}

/* The piece up to the next star, or all. */
static struct text first_piece(const char *pattern)
{
    return (struct text){pattern, strcspn(pattern, "*")};
}

bool topic_matches(const char *pattern, const char *at, size_t len, const char *user_at,
                   size_t user_len)
{
    const struct text user = {user_at, user_len};
    struct text name = {at, len}, piece = first_piece(pattern);

    if (!begins(name, piece, user))
        return false;
    name = behind(name, piece_len(piece, user));
    while (piece.at[piece.len] == '*') {
        piece = first_piece(piece.at + piece.len + 1);
        const size_t size = piece_len(piece, user);
        if (size > name.len)
            return false;
        if (piece.at[piece.len] == '\0')
            return begins(behind(name, name.len - size), piece, user);
        while (!begins(name, piece, user)) {
            if (name.len == 0)
                return false;
            name = behind(name, 1);
        }
        name = behind(name, size);
    }
    return name.len == 0;
}
