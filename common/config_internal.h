/*
 * What the files config*.c share, and nobody else includes:
 *
 *   config.c           push.conf and the overrides into a struct config
 *   config_scan.c      the text: comments, structure, unknown keys, before libconfuse sees it
 *   config_value.c     one value: its type, its bounds, its form
 *   config_address.c   addresses, URLs and networks
 *   config_check.c     what only several keys together can get wrong
 *   config_warn.c      what is not wrong but dangerous
 *   config_problem.c   the mistakes, collected and printed by line
 *   config_table.c     the table of config_keys.h and the sections as data
 *   config_reload.c    what a reload may change
 *   config_describe.c  the table for people
 *
 * jwt_key.c, the key that jwt.key_file names, is a module by itself.
 */
#ifndef WSPUSHD_COMMON_CONFIG_INTERNAL_H
#define WSPUSHD_COMMON_CONFIG_INTERNAL_H

#include "common/config.h"

#include <stdarg.h>

#include <confuse.h>

/* The table as data. */

enum config_kind { KEY_INT, KEY_BOOL, KEY_STR, KEY_ENUM, KEY_LIST };

/* When a key takes its new value: at the next start; on SIGHUP, and along with an upgrade; or on
 * SIGHUP alone, because an upgrade that could not do it would have no way back. */
enum config_change { RESTART, RELOAD, RELOAD_ONLY };

struct config_key {
    const char *name;
    enum config_kind kind;
    enum config_change change;
    size_t offset;            /* in struct config or struct opcode_rule; CONFIG_NO_FIELD: in none */
    long number;              /* default of INT, BOOL and ENUM */
    char *text;               /* default of STR; of LIST: see config_list_default */
    long least, most;         /* INT */
    const char *unit;         /* INT */
    const char *const *words; /* ENUM: by rising value, NULL at the end */
    const char *help;
};

#define CONFIG_NO_FIELD SIZE_MAX

/* SECTION_ROOT holds the keys outside of all sections. */
enum config_section_id {
    SECTION_ROOT,
    SECTION_HEADER,
    SECTION_JWT,
    SECTION_SESSION,
    SECTION_OPCODE,
    SECTION_COUNT
};

struct config_section {
    const char *name; /* as in push.conf; libconfuse's "root" for the first */
    bool titled;      /* "opcode 110 {": may stand there many times */
    size_t count;
    const struct config_key *key;
};

enum { CONFIG_KEYS_MAX = 48 }; /* of one section */

extern const struct config_section config_sections[SECTION_COUNT];
extern const char *const config_auth_words[];
extern const char *const config_jwt_algorithms[];

/* The section of this name (`len` bytes), the root left out; or NULL. */
const struct config_section *config_section_find(const char *name, size_t len);

/* The key of this name; its index is `key - section->key`. Or NULL. */
const struct config_key *config_key_find(const struct config_section *section, const char *name,
                                         size_t len);

/* The index of `word` in a list that ends with NULL, or -1. */
int config_word_find(const char *const *words, const char *word);

/* Writes the words as "a, b, c" to `out` and returns it. */
const char *config_words_text(const char *const *words, const char *separator, char *out,
                              size_t size);

/* A list's default as it would stand in push.conf; for libconfuse, which wants it without const and
 * copies it. */
char *config_list_default(const struct config_key *key);

/* Writes the default as it would stand in push.conf to `out` and returns it. */
const char *config_default_text(const struct config_key *key, char *out, size_t size);

/* Mistakes. */

/* Where a value comes from: a line of the file, an override, or (all zero) the default. */
struct config_origin {
    int line;
    const char *override; /* borrowed: "heartbeat=0" */
};

struct config_problem {
    struct config_origin origin;
    size_t order;
    char *text; /* owned */
};

struct config_opcode_seen {
    uint32_t op;
    int line;
};

/* One config_load under way. */
struct config_load {
    const char *path;     /* of push.conf, as it is named in messages; files are relative to it */
    const char *copy;     /* where its text is read; path, or a copy */
    const char *override; /* the one that is being applied, or NULL */
    bool broken;          /* the syntax; what follows from missing keys is not reported then */
    struct config_origin origin[CONFIG_KEYS_MAX]; /* of the root's keys */
    size_t problem_count;
    struct config_problem *problem;
    size_t opcode_count;
    struct config_opcode_seen *opcode; /* as they stand in the file */
};

/* Notes one mistake: "<file>:<line>: <name>: <text>". `name` may be NULL. */
void config_problem(struct config_load *load, struct config_origin origin, const char *name,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_vproblem(struct config_load *load, struct config_origin origin, const char *name,
                     const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));

/* Prints what was noted, by line and then in the order of the overrides. */
void config_problems_print(struct config_load *load, FILE *errors);
void config_problems_free(struct config_load *load);

/* Steps of a load. */

/*
 * Makes the text of push.conf harmless to libconfuse: comments and every statement that cannot be
 * right are overwritten with spaces and reported, so that libconfuse's line numbers are true and
 * it never stops. `text` ends with a NUL byte.
 */
void config_scan(struct config_load *load, char *text);

/* Writes what is wrong with a value to `why`, CONFIG_WHY_MAX bytes, and returns false. */
enum { CONFIG_WHY_MAX = 512 };
bool config_refuse(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *config_quoted(const char *value); /* log_quote of a string */

/* Whether a value has the form that its key wants; says why not. */
bool config_value_check(const struct config_section *section, const struct config_key *key,
                        const char *value, char *why);

/* The callbacks that libconfuse's options get: they report and then let the default stand. They
 * find the load that is under way in this pointer, because libconfuse passes none of the caller's.
 */
extern struct config_load *config_loading;
int config_parse_number(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);
int config_parse_bool(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);
int config_parse_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);

/* Reads a whole decimal number of `len` digits; false where it is none or above UINT32_MAX. */
bool config_parse_u32(const char *text, size_t len, uint32_t *out);

/* Fills what config.h calls parsed (addresses, networks, the order of auth), then reports what the
 * keys get wrong together. False: out of memory. */
bool config_check(struct config_load *load, struct config *config);

/* Addresses. On failure `why` (CONFIG_WHY_MAX bytes) says what is wrong. */

bool config_parse_listen(const char *text, struct listen_address *out, char *why);
bool config_parse_redis(const char *text, struct redis_address *out, char *why); /* owned strings */
void config_redis_free(struct redis_address *redis);
bool config_parse_network(const char *text, struct network *out, char *why);

/* "stream:KEY" and so on; *key (may be NULL) gets the place of KEY in the text or NULL. */
bool config_parse_target(const char *text, enum request_target *target, const char **key,
                         char *why);

#endif
