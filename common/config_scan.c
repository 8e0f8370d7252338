/*
 * Checks the structure of push.conf before libconfuse parses the values.
 *
 *   statements  = { NAME ( "=" | "+=" ) value | NAME [ title ] "{" statements "}" }
 *   value       = word | string | "{" [ value { "," value } [ "," ] ] "}"
 *   word        = any run of characters except white space, quotes and # = { } ( ) + , * $
 *   comment     = # or // to the end of the line, or between C's comment brackets
 *
 * libconfuse 3.3 parses values well, but it stops at the first unknown key, counts every comment as
 * three lines, and accepts a section or comment that is never closed. So this pass reports errors
 * of the structure and then overwrites the invalid statements and all comments with spaces:
 * libconfuse gets only known keys in valid form, each still on its line.
 *
 * After an invalid statement the scan continues with the next one. If the structure is lost (a
 * brace too many or too few, a missing '='), everything from that statement on is overwritten,
 * because guessing would report errors that do not exist. The scan is stricter than libconfuse,
 * which accepts some slips silently: a string must end on its line, an environment variable in
 * ${...} must be set, and words must not contain special characters.
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
    bool ill; /* the current statement contains a string that was reported as invalid */
    struct token token;
};

static const char not_in_words[] = " \t\r\n#\"'={}()+,*$";

static void overwrite_with_spaces(char *from, const char *to)
{
    for (; from < to; from++)
        if (*from != '\n')
            *from = ' ';
}

__attribute__((format(printf, 4, 5))) static void
report_problem(const struct scan *scan, int line, const char *name, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    config_vproblem(scan->load, (struct config_origin){.line = line}, name, fmt, args);
    va_end(args);
}

/* Overwrites a block comment. False, after a report, if it is not closed. */
static bool skip_block_comment(struct scan *scan)
{
    char *const end = strstr(scan->at + 2, "*/");
    char *const begin = scan->at;

    if (!end) {
        report_problem(scan, scan->line, NULL, "the comment that begins here is not closed");
        return false;
    }
    for (; scan->at < end + 2; scan->at++)
        scan->line += *scan->at == '\n';
    overwrite_with_spaces(begin, scan->at);
    return true;
}

static void skip_line_comment(struct scan *scan)
{
    char *const begin = scan->at;

    scan->at += strcspn(scan->at, "\n");
    overwrite_with_spaces(begin, scan->at);
}

/* Skips white space and comments. False, after a report, if a comment is not closed. */
static bool skip_space_and_comments(struct scan *scan)
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

static void report_bad_string(struct scan *scan, const char *what)
{
    report_problem(scan, scan->line, NULL, "%s", what);
    scan->ill = true;
}

/* Checks "${NAME}" or "${NAME:-default}" at `at`. Returns its closing brace, or `at` after
 * reporting that the brace is missing. */
static char *check_variable(struct scan *scan, char *at)
{
    char *const end = at + strcspn(at, "}\"\n");
    char name[128];
    const size_t len = (size_t)(end - at) - 2;

    if (*end != '}' || len >= sizeof name) {
        report_bad_string(scan, "${ begins the name of an environment variable; } is missing");
        return at;
    }
    memcpy(name, at + 2, len);
    name[len] = '\0';
    if (!strstr(name, ":-") && !getenv(name)) {
        report_problem(scan, scan->line, NULL, "the environment variable %s is not set",
                       log_quote(name, len));
        scan->ill = true;
    }
    return end;
}

/* Reads a string up to its closing quote. A string that does not end on its line is reported and
 * ends there, so that the following lines are parsed as the user meant them. */
static void scan_string(struct scan *scan)
{
    const char quote = *scan->at;
    char *at = scan->at + 1;

    for (; *at != quote; at++) {
        if (*at == '\n' || *at == '\0') {
            report_bad_string(scan, "the string that begins here is not closed on this line");
            break;
        }
        if (*at == '\\' && at[1] != '\n' && at[1] != '\0') {
            at++;
            if (quote == '"' && *at >= '0' && *at <= '9')
                report_bad_string(scan,
                                  "octal escapes are not supported: write \\x and two digits");
        } else if (quote == '"' && at[0] == '$' && at[1] == '{') {
            at = check_variable(scan, at);
        }
    }
    scan->token.kind = TOKEN_STRING;
    scan->token.len = (size_t)(at - scan->at) + (*at == quote);
}

static void scan_token(struct scan *scan)
{
    const size_t word = strcspn(scan->at, not_in_words);
    const char c = *scan->at;

    if (c == '\0') {
        scan->token.kind = TOKEN_END;
    } else if (c == '"' || c == '\'') {
        scan_string(scan);
    } else if (word > 0) {
        scan->token.kind = TOKEN_WORD;
        scan->token.len = word;
    } else if (strchr("{}=,", c) || strncmp(scan->at, "+=", 2) == 0) {
        scan->token.kind = TOKEN_MARK;
        scan->token.len = c == '+' ? 2 : 1;
        scan->token.mark = c;
    } else {
        report_problem(scan, scan->line, NULL, "'%c' is allowed only in quotes", c);
    }
}

static void next_token(struct scan *scan)
{
    scan->token = (struct token){.kind = TOKEN_INVALID};
    if (!skip_space_and_comments(scan))
        return;
    scan->token.at = scan->at;
    scan->token.line = scan->line;
    scan_token(scan);
    scan->at += scan->token.len;
}

static bool token_is_mark(const struct scan *scan, char mark)
{
    return scan->token.kind == TOKEN_MARK && scan->token.mark == mark;
}

/* Returns the token without its quotes, quoted for a message. */
static const char *quote_token(const struct token *token)
{
    if (token->kind == TOKEN_STRING && token->len >= 2)
        return log_quote(token->at + 1, token->len - 2);
    return log_quote(token->at, token->len);
}

/* Reports that the current token is not the expected one. Always returns false. */
static bool report_unexpected(const struct scan *scan, const char *wanted)
{
    const struct token *token = &scan->token;

    if (token->kind == TOKEN_END)
        report_problem(scan, scan->line, NULL, "unexpected end of file, expected %s", wanted);
    else if (token->kind != TOKEN_INVALID)
        report_problem(scan, token->line, NULL, "expected %s, found %s", wanted,
                       quote_token(token));
    return false;
}

/* Reads a word, a string or a list. *list: true if it is a list. False if the structure is lost. */
static bool scan_value(struct scan *scan, bool *list)
{
    *list = token_is_mark(scan, '{');
    if (scan->token.kind == TOKEN_WORD || scan->token.kind == TOKEN_STRING) {
        next_token(scan);
        return true;
    }
    if (!*list)
        return report_unexpected(scan, "a value");

    next_token(scan);
    while (!token_is_mark(scan, '}')) {
        if (scan->token.kind != TOKEN_WORD && scan->token.kind != TOKEN_STRING)
            return report_unexpected(scan, "a value or the list's '}'");
        next_token(scan);
        if (token_is_mark(scan, ','))
            next_token(scan);
        else if (!token_is_mark(scan, '}'))
            return report_unexpected(scan, "',' or the list's '}'");
    }
    next_token(scan);
    return true;
}

/* True if the title of `opcode TITLE` is within bounds and not declared yet; reports otherwise. */
static bool check_opcode_title(struct scan *scan, const struct token *title)
{
    struct config_load *const load = scan->load;
    const bool quoted = title->kind == TOKEN_STRING;
    const char *const text = title->at + quoted;
    const size_t len = title->len - (quoted ? 2 : 0);
    uint32_t op = 0;

    if (!config_parse_u32(text, len, &op) || op < 100 || op > 16777215) {
        report_problem(scan, title->line, "opcode", "%s is not an opcode from 100 to 16777215",
                       quote_token(title));
        return false;
    }
    for (size_t i = 0; i < load->opcode_count; i++) {
        if (load->opcode[i].op == op) {
            report_problem(scan, title->line, "opcode", "%u is already declared in line %d", op,
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

/* True if `NAME [title] {` is allowed in section `in`; reports otherwise. */
static bool check_section_head(struct scan *scan, const struct config_section *in,
                               const struct token *name, const struct config_section *section,
                               const struct token *title)
{
    const char *const text = quote_token(name);

    if (config_key_find(in, name->at, name->len)) {
        report_problem(scan, name->line, text, "takes a value: %s = ...", text);
        return false;
    }
    if (!section) {
        report_problem(scan, name->line, text, "unknown section");
        return false;
    }
    if (section->titled != (title->kind != TOKEN_END)) {
        report_problem(scan, name->line, text, "must be written %s %s{ ... }", text,
                       section->titled ? "NUMBER " : "");
        return false;
    }
    return !section->titled || check_opcode_title(scan, title);
}

/* True if `NAME = value` is allowed in section `in`; reports otherwise. */
static bool check_assignment(const struct scan *scan, const struct config_section *in,
                             const struct token *name, bool append, bool list)
{
    const struct config_key *key = config_key_find(in, name->at, name->len);
    const char *const text = quote_token(name);

    if (!key && in == &config_sections[SECTION_ROOT] && config_section_find(name->at, name->len))
        report_problem(scan, name->line, text, "is a section: %s { ... }", text);
    else if (!key)
        report_problem(scan, name->line, text, "unknown key%s%s",
                       in == &config_sections[SECTION_ROOT] ? "" : " in section ",
                       in == &config_sections[SECTION_ROOT] ? "" : in->name);
    else if (key->kind != KEY_LIST && append)
        report_problem(scan, name->line, text, "+= is only for lists");
    else if (key->kind != KEY_LIST && list)
        report_problem(scan, name->line, text, "takes one value, not a list");
    else
        return true;
    return false;
}

/* Records the line of a key outside of all sections, for the reports of config_check. */
static void record_key_origin(struct scan *scan, const struct config_section *in,
                              const struct token *name)
{
    if (in == &config_sections[SECTION_ROOT])
        scan->load->origin[config_key_find(in, name->at, name->len) - in->key].line = name->line;
}

static bool scan_statements(struct scan *scan, const struct config_section *in, int depth);

static bool scan_section(struct scan *scan, const struct config_section *in,
                         const struct token *name, int depth, bool *fits)
{
    const struct config_section *found = NULL;
    struct token title = {.kind = TOKEN_END};

    if (in == &config_sections[SECTION_ROOT])
        found = config_section_find(name->at, name->len);
    if (scan->token.kind == TOKEN_WORD || scan->token.kind == TOKEN_STRING) {
        title = scan->token;
        next_token(scan);
    }
    if (!token_is_mark(scan, '{') && !found) {
        report_problem(scan, name->line, quote_token(name), "'=' is missing");
        return false;
    }
    if (!token_is_mark(scan, '{'))
        return report_unexpected(scan, "'{'");
    if (depth == DEPTH_MAX) {
        report_problem(scan, scan->line, NULL, "sections are nested more than %d deep", DEPTH_MAX);
        return false;
    }
    *fits = in && check_section_head(scan, in, name, found, &title);

    next_token(scan);
    if (!scan_statements(scan, found, depth + 1))
        return false;
    if (!token_is_mark(scan, '}')) {
        report_problem(scan, name->line, quote_token(name),
                       "the section that begins here "
                       "is not closed");
        return false;
    }
    next_token(scan);
    return true;
}

/* Scans one statement, and overwrites it if it is invalid. False if the structure is lost. */
static bool scan_statement(struct scan *scan, const struct config_section *in, int depth)
{
    const struct token name = scan->token;
    bool fits = false, list = false;

    if (name.kind != TOKEN_WORD)
        return report_unexpected(scan, "a key");
    scan->ill = false;
    next_token(scan);
    if (token_is_mark(scan, '=') || token_is_mark(scan, '+')) {
        const bool append = token_is_mark(scan, '+');

        next_token(scan);
        if (!scan_value(scan, &list))
            return false;
        fits = in && check_assignment(scan, in, &name, append, list) && !scan->ill;
        if (fits)
            record_key_origin(scan, in, &name);
    } else if (!scan_section(scan, in, &name, depth, &fits)) {
        return false;
    }
    if (!fits)
        overwrite_with_spaces(name.at, scan->token.at ? scan->token.at : scan->at);
    return true;
}

/* Scans the statements up to the end of the section or file. `in` is NULL within an unknown
 * section: there only the structure is checked. False if the structure is lost. */
static bool scan_statements(struct scan *scan, const struct config_section *in, int depth)
{
    while (scan->token.kind != TOKEN_END && !(depth > 0 && token_is_mark(scan, '}')))
        if (!scan_statement(scan, in, depth))
            return false;
    return true;
}

void config_scan(struct config_load *load, char *text)
{
    struct scan scan = {.load = load, .at = text, .line = 1};

    next_token(&scan);
    while (scan.token.kind != TOKEN_END) {
        char *const begin = scan.token.at ? scan.token.at : scan.at;

        if (scan_statement(&scan, &config_sections[SECTION_ROOT], 0))
            continue;
        overwrite_with_spaces(begin, begin + strlen(begin));
        load->broken = true;
        return;
    }
}
