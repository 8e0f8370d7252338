/*
 * Shared by the files config*.c only:
 *
 *   config.c           loads push.conf and the overrides into a struct config
 *   config_scan.c      checks the structure: comments, sections, unknown keys, before libconfuse
 *   config_value.c     checks the type, bounds and form of one value
 *   config_address.c   parses addresses, URLs and networks
 *   config_check.c     checks keys against each other
 *   config_warn.c      warns of valid but dangerous settings
 *   config_problem.c   collects the errors and prints them by line
 *   config_table.c     the table of config_keys.h and the sections as data
 *   config_reload.c    decides which keys a reload may change
 *   config_describe.c  prints the table for `wspushd -k`
 *
 * jwt_key.c, which loads the key that jwt.key_file names, is a module of its own.
 */
#ifndef WSPUSHD_COMMON_CONFIG_INTERNAL_H
#define WSPUSHD_COMMON_CONFIG_INTERNAL_H

#include "common/config.h"

#include <stdarg.h>

#include <confuse.h>

/* The table as data. */

enum config_kind { KEY_INT, KEY_BOOL, KEY_STR, KEY_ENUM, KEY_LIST };

/* When a changed key takes effect: only at a restart; on SIGHUP or with an upgrade; or only on
 * SIGHUP, because an upgrade that failed to apply it could not be rolled back. */
enum config_change { RESTART, RELOAD, RELOAD_ONLY };

struct config_key {
    const char *name;
    enum config_kind kind;
    enum config_change change;
    size_t offset;            /* in struct config or struct opcode_rule, or CONFIG_NO_FIELD */
    long number;              /* default of INT, BOOL and ENUM */
    char *text;               /* default of STR; of LIST: see config_list_default */
    long least, most;         /* INT */
    const char *unit;         /* INT */
    const char *const *words; /* ENUM: indexed by value, ends with NULL */
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
    bool titled;      /* "opcode 110 {": may occur several times */
    size_t count;
    const struct config_key *key;
};

enum { CONFIG_KEYS_MAX = 48 }; /* of one section */

extern const struct config_section config_sections[SECTION_COUNT];
extern const char *const config_auth_words[];
extern const char *const config_jwt_algorithms[];

/* Returns the section with this name (`len` bytes), never the root; or NULL. */
const struct config_section *config_section_find(const char *name, size_t len);

/* Returns the key with this name (its index is `key - section->key`), or NULL. */
const struct config_key *config_key_find(const struct config_section *section, const char *name,
                                         size_t len);

/* Returns the index of `word` in a list that ends with NULL, or -1. */
int config_word_find(const char *const *words, const char *word);

/* Writes the words, joined by `separator`, to `out`. Returns `out`. */
const char *config_words_text(const char *const *words, const char *separator, char *out,
                              size_t size);

/* Returns a list's default in the syntax of push.conf. libconfuse copies it, although its parameter
 * is not const. */
char *config_list_default(const struct config_key *key);

/* Writes a key's default in the syntax of push.conf to `out`. Returns `out`. */
const char *config_default_text(const struct config_key *key, char *out, size_t size);

/* Errors. */

/* The origin of a value: a line of the file, an override, or (all zero) the default. */
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
    const char *path; /* of push.conf, for messages; file names in it are relative to its folder */
    const char *copy; /* the file that is read: `path`, or a copy of it */
    const char *override; /* the override that is being applied, or NULL */
    bool broken;          /* invalid syntax, or out of memory: keys are then not checked together */
    struct config_origin origin[CONFIG_KEYS_MAX]; /* of the root's keys, by index */
    size_t problem_count;
    struct config_problem *problem;
    size_t opcode_count;
    struct config_opcode_seen *opcode; /* in the order of the file */
};

/* Records one error, to be printed as "<file>:<line>: <name>: <text>". `name` may be NULL. */
void config_problem(struct config_load *load, struct config_origin origin, const char *name,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void config_vproblem(struct config_load *load, struct config_origin origin, const char *name,
                     const char *fmt, va_list args) __attribute__((format(printf, 4, 0)));

/* Prints the recorded errors: those of the file by line, then those of the overrides in order. */
void config_problems_print(struct config_load *load, FILE *errors);
void config_problems_free(struct config_load *load);

/* Steps of a load. */

/*
 * Checks the structure of push.conf before libconfuse parses it. Comments and invalid statements
 * are overwritten with spaces, and invalid statements reported, so that libconfuse counts lines
 * correctly and does not stop at the first error. `text` ends with a NUL byte.
 */
void config_scan(struct config_load *load, char *text);

/* Writes the reason why a value is invalid to `why`, CONFIG_WHY_MAX bytes. Always returns false. */
enum { CONFIG_WHY_MAX = 512 };
bool config_refuse(char *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *config_quoted(const char *value); /* log_quote of a string */

/* True if the value is valid for its key; otherwise writes the reason to `why`. */
bool config_value_check(const struct config_section *section, const struct config_key *key,
                        const char *value, char *why);

/* libconfuse's callbacks for values. They report an invalid value and then return success, so that
 * parsing continues. libconfuse passes no pointer of the caller, so the current load is global. */
extern struct config_load *config_loading;
int config_parse_number(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);
int config_parse_bool(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);
int config_parse_text(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result);

/* Parses a decimal number of `len` digits. False if it is not a number or above UINT32_MAX. */
bool config_parse_u32(const char *text, size_t len, uint32_t *out);

/* Fills the parsed fields of struct config (addresses, networks, the order of auth), then reports
 * keys that contradict each other. Returns false if memory runs out. */
bool config_check(struct config_load *load, struct config *config);

/* Addresses. These return false after writing the reason to `why` (CONFIG_WHY_MAX bytes). */

bool config_parse_listen(const char *text, struct listen_address *out, char *why);
bool config_parse_redis(const char *text, struct redis_address *out, char *why); /* owned strings */
void config_redis_free(struct redis_address *redis);
bool config_parse_network(const char *text, struct network *out, char *why);

/* Parses "stream:KEY" and so on. *key points to KEY in the text, or is NULL for echo and drop. */
bool config_parse_target(const char *text, enum request_target *target, const char **key,
                         char *why);

#endif
