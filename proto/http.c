/*
 * The head of an HTTP/1.1 message: start line and header fields (RFC 9112 §2 to §5).
 *
 * A head that arrives in several reads is parsed from its beginning each time: heads are short,
 * nearly all arrive whole, and a parser without state has no state to get wrong. It looks at each
 * byte once, and reports a bad head at the first invalid byte, without waiting for the end.
 *
 * It refuses everything that has two readings, because a proxy in front may have chosen the other
 * one: white space before a colon, folded lines, a bare CR, control characters. It does not read
 * bodies.
 */
#include "proto/http.h"

#include <stdint.h>
#include <string.h>

/* The classes of bytes. */
enum {
    TOKEN = 1,  /* tchar: methods and field names (RFC 9110 §5.6.2) */
    TARGET = 2, /* visible ASCII without '#', which a target must not contain */
    TEXT = 4,   /* field values and reasons: also space, tab and obs-text (RFC 9110 §5.5) */
};

static const uint8_t byte_class[256] = {
    ['\t'] = TEXT,
    [' '] = TEXT,
    ['!'] = TOKEN | TARGET | TEXT,
    ['"'] = TARGET | TEXT,
    ['#'] = TOKEN | TEXT,
    ['$' ... '\''] = TOKEN | TARGET | TEXT,
    ['(' ... ')'] = TARGET | TEXT,
    ['*' ... '+'] = TOKEN | TARGET | TEXT,
    [','] = TARGET | TEXT,
    ['-' ... '.'] = TOKEN | TARGET | TEXT,
    ['/'] = TARGET | TEXT,
    ['0' ... '9'] = TOKEN | TARGET | TEXT,
    [':' ... '@'] = TARGET | TEXT,
    ['A' ... 'Z'] = TOKEN | TARGET | TEXT,
    ['[' ... ']'] = TARGET | TEXT,
    ['^' ... 'z'] = TOKEN | TARGET | TEXT,
    ['{'] = TARGET | TEXT,
    ['|'] = TOKEN | TARGET | TEXT,
    ['}'] = TARGET | TEXT,
    ['~'] = TOKEN | TARGET | TEXT,
    [0x80 ... 0xff] = TEXT,
};

/* The result of a step of the parser. Errors are enum http_error, which is negative. */
enum { MORE = 0, DONE = 1 };

struct cursor {
    const char *at, *end;
};

/* Skips eight bytes at a time while none of them is a control character (0x00-0x1f and 0x7f),
 * detected by the borrow into each byte's top bit. It may stop early (at a tab), but never late. */
static const char *skip_text_words(const char *at, const char *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t word;
    for (; end - at >= (ptrdiff_t)sizeof(word); at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        const uint64_t is_del = word ^ ones * 0x7f;
        const uint64_t below = ((word - ones * 0x20) & ~word) | ((is_del - ones) & ~is_del);
        if ((below & ones * 0x80) != 0)
            break;
    }
    return at;
}

/* Takes bytes of a class. Returns MORE if the input ends within them. */
static int take_class_bytes(struct cursor *in, int class, struct slice *out)
{
    const char *at = in->at;
    if (class == TEXT)
        at = skip_text_words(at, in->end);
    while (at < in->end && (byte_class[(uint8_t)*at] & class) != 0)
        at++;
    *out = (struct slice){in->at, (size_t)(at - in->at)};
    in->at = at;
    return at < in->end ? DONE : MORE;
}

static int take_one_byte(struct cursor *in, char byte)
{
    if (in->at == in->end)
        return MORE;
    return *in->at++ == byte ? DONE : HTTP_BAD_SYNTAX;
}

/* Takes a name, method or target of at least one byte, and the byte that ends it. */
static int take_terminated_word(struct cursor *in, int class, char terminator, struct slice *out)
{
    const int step = take_class_bytes(in, class, out);
    if (step == DONE && out->len == 0)
        return HTTP_BAD_SYNTAX;
    return step == DONE ? take_one_byte(in, terminator) : step;
}

/* Takes CRLF, or a bare LF (RFC 9112 §2.2). */
static int take_line_end(struct cursor *in)
{
    if (in->at < in->end && *in->at == '\r')
        in->at++;
    return take_one_byte(in, '\n');
}

static int take_one_digit(struct cursor *in, int *digit)
{
    if (in->at == in->end)
        return MORE;
    if (*in->at < '0' || *in->at > '9')
        return HTTP_BAD_SYNTAX;
    *digit = *in->at++ - '0';
    return DONE;
}

/* Takes HTTP-version (RFC 9112 §2.3). A higher minor version is compatible with 1.1; 1.0 has
 * neither Upgrade nor Host. */
static int take_http_version(struct cursor *in, int *minor)
{
    int step = DONE, major = 0;
    for (const char *expected = "HTTP/"; *expected != '\0' && step == DONE; expected++)
        step = take_one_byte(in, *expected);
    if (step == DONE)
        step = take_one_digit(in, &major);
    if (step == DONE && major != 1)
        return HTTP_BAD_VERSION;
    if (step == DONE)
        step = take_one_byte(in, '.');
    if (step == DONE)
        step = take_one_digit(in, minor);
    return step == DONE && *minor == 0 ? HTTP_BAD_VERSION : step;
}

static int take_header_field(struct cursor *in, struct http_header *header)
{
    int step = take_terminated_word(in, TOKEN, ':', &header->name);
    if (step == DONE)
        step = take_class_bytes(in, TEXT, &header->value);
    if (step == DONE)
        step = take_line_end(in);
    header->value = slice_trimmed(header->value);
    return step;
}

/* Takes the header fields, including the empty line. */
static int take_all_headers(struct cursor *in, struct http_request *head)
{
    head->header_count = 0;
    for (;;) {
        if (in->at == in->end)
            return MORE;
        if (*in->at == '\r' || *in->at == '\n')
            return take_line_end(in);
        if (head->header_count == HTTP_HEADERS_MAX)
            return HTTP_TOO_MANY_HEADERS;
        struct http_header header = {{NULL, 0}, {NULL, 0}};
        const int step = take_header_field(in, &header);
        if (step != DONE)
            return step;
        head->header[head->header_count++] = header;
    }
}

/* Splits the target at '?'. A target in absolute form (RFC 9112 §3.2.2), which every server must
 * accept, loses its scheme and authority. If it has no path, its path is "/": the slash before the
 * authority serves as that path. */
static void split_request_target(struct http_request *request)
{
    const char *path = request->target.at;
    const char *const end = path + request->target.len;
    const char *const authority = *path == '/' ? NULL : memmem(path, request->target.len, "://", 3);
    if (authority != NULL) {
        path = authority + 3;
        while (path < end && *path != '/' && *path != '?')
            path++;
        request->authority = (struct slice){authority + 3, (size_t)(path - authority) - 3};
    }
    const char *const mark = memchr(path, '?', (size_t)(end - path));
    const char *const path_end = mark != NULL ? mark : end;
    request->path = (struct slice){path, (size_t)(path_end - path)};
    if (authority != NULL && request->path.len == 0)
        request->path = (struct slice){authority + 1, 1};
    if (mark != NULL)
        request->query = (struct slice){mark + 1, (size_t)(end - mark) - 1};
}

static int take_request_line(struct cursor *in, struct http_request *request)
{
    int step = take_terminated_word(in, TOKEN, ' ', &request->method);
    if (step == DONE)
        step = take_terminated_word(in, TARGET, ' ', &request->target);
    if (step == DONE)
        step = take_http_version(in, &request->minor);
    return step == DONE ? take_line_end(in) : step;
}

/* Takes a status line. The reason may be empty; many servers then omit the space before it, too. */
static int take_status_line(struct cursor *in, struct http_request *response, int *status)
{
    struct slice reason;
    int digit = 0, step = take_http_version(in, &response->minor);
    if (step == DONE)
        step = take_one_byte(in, ' ');
    *status = 0;
    for (int i = 0; i < 3 && step == DONE; i++) {
        step = take_one_digit(in, &digit);
        *status = *status * 10 + digit;
    }
    if (step == DONE && *status < 100)
        return HTTP_BAD_SYNTAX;
    if (step == DONE && in->at < in->end && *in->at == ' ')
        step = take_class_bytes(in, TEXT, &reason);
    return step == DONE ? take_line_end(in) : step;
}

/* Limits the input to the first `max` bytes, so that the result does not depend on how much was
 * read at once. */
static struct cursor cursor_within_limit(const char *buf, size_t len, size_t max)
{
    return (struct cursor){buf, buf + (len < max ? len : max)};
}

static ssize_t finish_parsed_head(int step, const struct cursor *in, const char *buf, size_t len,
                                  size_t max)
{
    if (step == DONE)
        return in->at - buf;
    if (step == MORE && len >= max)
        return HTTP_TOO_LARGE;
    return step;
}

/* Skips one empty line before the request line: old clients send it after a body (RFC 9112 §2.2).
 */
ssize_t http_parse_request(struct http_request *request, const char *buf, size_t len, size_t max)
{
    static const struct slice none = {"", 0};
    struct cursor in = cursor_within_limit(buf, len, max);
    int step = DONE;

    request->path = request->query = request->authority = none;
    if (in.at < in.end && (*in.at == '\r' || *in.at == '\n'))
        step = take_line_end(&in);
    if (step == DONE)
        step = take_request_line(&in, request);
    if (step == DONE) {
        split_request_target(request);
        step = take_all_headers(&in, request);
    }
    return finish_parsed_head(step, &in, buf, len, max);
}

ssize_t http_parse_response(struct http_request *response, int *status, const char *buf, size_t len,
                            size_t max)
{
    static const struct slice none = {"", 0};
    struct cursor in = cursor_within_limit(buf, len, max);
    response->method = response->target = response->path = response->query = none;
    response->authority = none;
    int step = take_status_line(&in, response, status);
    if (step == DONE)
        step = take_all_headers(&in, response);
    return finish_parsed_head(step, &in, buf, len, max);
}
