/*
 * The structure of push.conf, before libconfuse reads the values.
 *
 *   statements  = { NAME ( "=" | "+=" ) value | NAME [ title ] "{" statements "}" }
 *   value       = word | string | "{" [ value { "," value } [ "," ] ] "}"
 *   word        = any run of characters but white space, quotes and # = { } ( ) + , * $
 *   comment     = # or // to the end of the line, or between C's comment brackets
 *
 * libconfuse 3.3 is good at values, but it stops at the first unknown key, counts every comment as
 * three lines, and takes a section or comment that is never closed for a whole one. So this pass
 * reports what is wrong with the structure and then overwrites it with spaces, together with all
 * comments: what libconfuse gets has only known keys in their right form, and each on its line.
 *
 * A statement that cannot be right costs itself and the scan goes on. Where the structure is lost
 * (a brace too many or too few, a missing '='), everything from that statement on is overwritten:
 * guessing would only report mistakes that nobody made. The scan is stricter than libconfuse where
 * the latter would take a slip in silence: a string ends on its line, an environment variable in
 * ${...} is set, words have no odd characters.
 */
#include "common/config_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum { DEPTH_MAX = 8 };

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING,
    TOKEN_MARK,    /* one of { } = , and + for += */
    TOKEN_INVALID, /* reported already */
};

struct token {
    enum token_kind kind;
    char mark;
    char *at; /* of a string: its opening quote */
    size_t len;
    int line;
};

struct scan {
    struct config_load *load;
    char *at;
    int line;
    bool ill; /* the statement at hand holds a string that was reported */
    struct token token;
};

static const char not_in_words[] = " \t\r\n#\"'={}()+,*$";

static void blank(char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != '\n')
            *from = ' ';
}

__attribute__((format(printf, 4, 5))) static void report(const struct scan *scan, int line,
                                                         const char *name, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    config_vproblem(scan->load, (struct config_origin){.line = line}, name, fmt, args);
    va_end(args);
}

/* Overwrites a comment, which `len` characters have opened. False where it is not closed. */
static bool skip_block_comment(struct scan *scan)
{
    char *const end = strstr(scan->at + 2, "*/");
    char *const begin = scan->at;

    if (!end) {
        report(scan, scan->line, NULL, "the comment that begins here is not closed");
        return false;
    }
    for (; scan->at < end + 2; scan->at++)
        scan->line += *scan->at == '\n';
    blank(begin, scan->at);
    return true;
}

static void skip_line_comment(struct scan *scan)
{
    char *const begin = scan->at;

    scan->at += strcspn(scan->at, "\n");
    blank(begin, scan->at);
}

/* Skips white space and comments. */
static bool skip_space(struct scan *scan)
{
    for (;;) {
        if (*scan->at == '\n') {
            scan->line++;
            scan->at++;
        } else if (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\r') {
            scan->at++;
        } else if (*scan->at == '#' || strncmp(scan->at, "//", 2) == 0) {
            skip_line_comment(scan);
        } else if (strncmp(scan->at, "/*", 2) == 0) {
            if (!skip_block_comment(scan))
                return false;
        } else {
            return true;
        }
    }
}

static void string_ill(struct scan *scan, const char *what)
{
    report(scan, scan->line, NULL, "%s", what);
    scan->ill = true;
}

/* Checks "${NAME}" or "${NAME:-default}" at `at`; returns the closing brace, or `at` itself where
 * it was reported. */
static char *variable(struct scan *scan, char *at)
{
    char *const end = at + strcspn(at, "}\"\n");
    char name[128];
    const size_t len = (size_t)(end - at) - 2;

    if (*end != '}' || len >= sizeof name) {
        string_ill(scan, "${ begins the name of an environment variable; } is missing");
        return at;
    }
    memcpy(name, at + 2, len);
    name[len] = '\0';
    if (!strstr(name, ":-") && !getenv(name)) {
        report(scan, scan->line, NULL, "the environment variable %s is not set",
               log_quote(name, len));
        scan->ill = true;
    }
    return end;
}

/* Takes a string to its closing quote. One that does not end on its line is reported and ends
 * there, so that the lines after it are read as they were meant. */
static void take_string(struct scan *scan)
{
    const char quote = *scan->at;
    char *at = scan->at + 1;

    for (; *at != quote; at++) {
        if (*at == '\n' || *at == '\0') {
            string_ill(scan, "the string that begins here is not closed on this line");
            break;
        }
        if (*at == '\\' && at[1] != '\n' && at[1] != '\0') {
            at++;
            if (quote == '"' && *at >= '0' && *at <= '9')
                string_ill(scan, "octal escapes are not supported: write \\x and two digits");
        } else if (quote == '"' && at[0] == '$' && at[1] == '{') {
            at = variable(scan, at);
        }
    }
    scan->token.kind = TOKEN_STRING;
    scan->token.len = (size_t)(at - scan->at) + (*at == quote);
}

static void take_token(struct scan *scan)
{
    const size_t word = strcspn(scan->at, not_in_words);
    const char c = *scan->at;

    if (c == '\0') {
        scan->token.kind = TOKEN_END;
    } else if (c == '"' || c == '\'') {
        take_string(scan);
    } else if (word > 0) {
        scan->token.kind = TOKEN_WORD;
        scan->token.len = word;
    } else if (strchr("{}=,", c) || strncmp(scan->at, "+=", 2) == 0) {
        scan->token.kind = TOKEN_MARK;
        scan->token.len = c == '+' ? 2 : 1;
        scan->token.mark = c;
    } else {
        report(scan, scan->line, NULL, "'%c' is allowed only in quotes", c);
    }
}

static void next(struct scan *scan)
{
    scan->token = (struct token){.kind = TOKEN_INVALID};
    if (!skip_space(scan))
        return;
    scan->token.at = scan->at;
    scan->token.line = scan->line;
    take_token(scan);
    scan->at += scan->token.len;
}

static bool is_mark(const struct scan *scan, char mark)
{
    return scan->token.kind == TOKEN_MARK && scan->token.mark == mark;
}

/* A token for a message: without its quotes. */
static const char *shown(const struct token *token)
{
    if (token->kind == TOKEN_STRING && token->len >= 2)
        return log_quote(token->at + 1, token->len - 2);
    return log_quote(token->at, token->len);
}

/* Reports that something else stands here than what is wanted. Always false. */
static bool unexpected(const struct scan *scan, const char *wanted)
{
    const struct token *token = &scan->token;

    if (token->kind == TOKEN_END)
        report(scan, scan->line, NULL, "unexpected end of file, expected %s", wanted);
    else if (token->kind != TOKEN_INVALID)
        report(scan, token->line, NULL, "expected %s, found %s", wanted, shown(token));
    return false;
}

/* Takes "word", "string" or a list; *list tells which. */
static bool value(struct scan *scan, bool *list)
{
    *list = is_mark(scan, '{');
    if (scan->token.kind == TOKEN_WORD || scan->token.kind == TOKEN_STRING) {
        next(scan);
        return true;
    }
    if (!*list)
        return unexpected(scan, "a value");

    next(scan);
    while (!is_mark(scan, '}')) {
        if (scan->token.kind != TOKEN_WORD && scan->token.kind != TOKEN_STRING)
            return unexpected(scan, "a value or the list's '}'");
        next(scan);
        if (is_mark(scan, ','))
            next(scan);
        else if (!is_mark(scan, '}'))
            return unexpected(scan, "',' or the list's '}'");
    }
    next(scan);
    return true;
}

/* The title of `opcode TITLE`: in bounds, and not declared before. */
static bool title_fits(struct scan *scan, const struct token *title)
{
    struct config_load *const load = scan->load;
    const bool quoted = title->kind == TOKEN_STRING;
    const char *const text = title->at + quoted;
    const size_t len = title->len - (quoted ? 2 : 0);
    uint32_t op = 0;

    if (!config_parse_u32(text, len, &op) || op < 100 || op > 16777215) {
        report(scan, title->line, "opcode", "%s is not an opcode from 100 to 16777215",
               shown(title));
        return false;
    }
    for (size_t i = 0; i < load->opcode_count; i++) {
        if (load->opcode[i].op == op) {
            report(scan, title->line, "opcode", "%u is already declared in line %d", op,
                   load->opcode[i].line);
            return false;
        }
    }

    struct config_opcode_seen *grown =
        realloc(load->opcode, (load->opcode_count + 1) * sizeof *load->opcode);
    if (!grown) {
        load->broken = true;
        return false;
    }
    load->opcode = grown;
    load->opcode[load->opcode_count++] = (struct config_opcode_seen){op, title->line};
    return true;
}

/* Whether `NAME [title] {` is right there; reports what is not. */
static bool section_fits(struct scan *scan, const struct config_section *in,
                         const struct token *name, const struct config_section *section,
                         const struct token *title)
{
    const char *const text = shown(name);

    if (config_key_find(in, name->at, name->len)) {
        report(scan, name->line, text, "takes a value: %s = ...", text);
        return false;
    }
    if (!section) {
        report(scan, name->line, text, "unknown section");
        return false;
    }
    if (section->titled != (title->kind != TOKEN_END)) {
        report(scan, name->line, text, "must be written %s %s{ ... }", text,
               section->titled ? "NUMBER " : "");
        return false;
    }
    return !section->titled || title_fits(scan, title);
}

/* Whether `NAME = value` is right there; reports what is not. */
static bool assignment_fits(const struct scan *scan, const struct config_section *in,
                            const struct token *name, bool append, bool list)
{
    const struct config_key *key = config_key_find(in, name->at, name->len);
    const char *const text = shown(name);

    if (!key && in == &config_sections[SECTION_ROOT] && config_section_find(name->at, name->len))
        report(scan, name->line, text, "is a section: %s { ... }", text);
    else if (!key)
        report(scan, name->line, text, "unknown key%s%s",
               in == &config_sections[SECTION_ROOT] ? "" : " in section ",
               in == &config_sections[SECTION_ROOT] ? "" : in->name);
    else if (key->kind != KEY_LIST && append)
        report(scan, name->line, text, "+= is only for lists");
    else if (key->kind != KEY_LIST && list)
        report(scan, name->line, text, "takes one value, not a list");
    else
        return true;
    return false;
}

/* Notes where a key outside of all sections gets its value, for what config_check finds. */
static void note_origin(struct scan *scan, const struct config_section *in,
                        const struct token *name)
{
    if (in == &config_sections[SECTION_ROOT])
        scan->load->origin[config_key_find(in, name->at, name->len) - in->key].line = name->line;
}

static bool statements(struct scan *scan, const struct config_section *in, int depth);

static bool section(struct scan *scan, const struct config_section *in, const struct token *name,
                    int depth, bool *fits)
{
    const struct config_section *found = NULL;
    struct token title = {.kind = TOKEN_END};

    if (in == &config_sections[SECTION_ROOT])
        found = config_section_find(name->at, name->len);
    if (scan->token.kind == TOKEN_WORD || scan->token.kind == TOKEN_STRING) {
        title = scan->token;
        next(scan);
    }
    if (!is_mark(scan, '{') && !found) {
        report(scan, name->line, shown(name), "'=' is missing");
        return false;
    }
    if (!is_mark(scan, '{'))
        return unexpected(scan, "'{'");
    if (depth == DEPTH_MAX) {
        report(scan, scan->line, NULL, "sections are nested more than %d deep", DEPTH_MAX);
        return false;
    }
    *fits = in && section_fits(scan, in, name, found, &title);

    next(scan);
    if (!statements(scan, found, depth + 1))
        return false;
    if (!is_mark(scan, '}')) {
        report(scan, name->line, shown(name),
               "the section that begins here "
               "is not closed");
        return false;
    }
    next(scan);
    return true;
}

/* One statement; what does not fit is overwritten. False where the structure is lost. */
static bool statement(struct scan *scan, const struct config_section *in, int depth)
{
    const struct token name = scan->token;
    bool fits = false, list = false;

    if (name.kind != TOKEN_WORD)
        return unexpected(scan, "a key");
    scan->ill = false;
    next(scan);
    if (is_mark(scan, '=') || is_mark(scan, '+')) {
        const bool append = is_mark(scan, '+');

        next(scan);
        if (!value(scan, &list))
            return false;
        fits = in && assignment_fits(scan, in, &name, append, list) && !scan->ill;
        if (fits)
            note_origin(scan, in, &name);
    } else if (!section(scan, in, &name, depth, &fits)) {
        return false;
    }
    if (!fits)
        blank(name.at, scan->token.at ? scan->token.at : scan->at);
    return true;
}

/* Statements to the end of the section or file. `in` is NULL within a section that nobody knows:
 * there only the structure counts. */
static bool statements(struct scan *scan, const struct config_section *in, int depth)
{
    while (scan->token.kind != TOKEN_END && !(depth > 0 && is_mark(scan, '}')))
        if (!statement(scan, in, depth))
            return false;
    return true;
}

void config_scan(struct config_load *load, char *text)
{
    struct scan scan = {.load = load, .at = text, .line = 1};

    next(&scan);
    while (scan.token.kind != TOKEN_END) {
        char *const begin = scan.token.at ? scan.token.at : scan.at;

        if (statement(&scan, &config_sections[SECTION_ROOT], 0))
            continue;
        blank(begin, begin + strlen(begin));
        load->broken = true;
        return;
    }
}
