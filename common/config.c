/*
 * Loads push.conf into a struct config.
 *
 *   file ──▶ scan ──▶ libconfuse ──▶ overrides ──▶ copy ──▶ check ──▶ struct config
 *             │           │              │                    │
 *             └───────────┴──── errors ──┴────────────────────┴─────▶ printed by line
 *
 * libconfuse's options are generated from the table; its values are copied into the struct by the
 * table's offsets, and its own structures are freed: workers inherit plain memory. A file with an
 * error yields no configuration, so a reload with an error changes nothing.
 *
 * Not supported: files above 1 MiB, NUL bytes, include directives.
 */
#include "common/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_internal.h"

enum { FILE_MAX = 1024 * 1024 };

/* Reading the file. */

/* Reads the file, at most FILE_MAX + 1 bytes. Returns the owned, NUL-terminated text; or NULL with
 * errno. */
static char *read_file_text(FILE *file, size_t *len)
{
    char *const text = malloc(FILE_MAX + 2);

    if (!text)
        return NULL;
    *len = fread(text, 1, FILE_MAX + 1, file);
    text[*len] = '\0';
    if (!ferror(file))
        return text;

    const int error = errno;
    free(text);
    errno = error;
    return NULL;
}

/* True if the text can be parsed: it is not too long and has no NUL bytes. Reports otherwise. */
static bool check_text_bytes(struct config_load *load, const char *text, size_t len)
{
    struct config_origin origin = {.line = 1};

    if (len > FILE_MAX) {
        config_problem(load, (struct config_origin){0}, NULL, "the file is larger than 1 MiB");
        return false;
    }
    if (strlen(text) == len)
        return true;
    for (const char *at = text; *at; at++)
        origin.line += *at == '\n';
    config_problem(load, origin, NULL, "NUL byte: not a text file");
    return false;
}

/* Returns the owned text of push.conf, or NULL after a report. */
static char *load_file_text(struct config_load *load)
{
    FILE *const file = fopen(load->copy, "re");
    char *text = NULL;
    size_t len = 0;

    if (file)
        text = read_file_text(file, &len);
    if (!text)
        config_problem(load, (struct config_origin){0}, NULL, "%s", strerror(errno));
    if (file)
        fclose(file);
    if (text && !check_text_bytes(load, text, len)) {
        free(text);
        return NULL;
    }
    return text;
}

/* libconfuse. */

/* The options of every section; those of the root include one for each section. */
struct options {
    cfg_opt_t of[SECTION_COUNT][CONFIG_KEYS_MAX + SECTION_COUNT + 1];
};

static cfg_opt_t create_option(const struct config_key *key)
{
    switch (key->kind) {
    case KEY_INT:
    case KEY_ENUM:
        return (cfg_opt_t)CFG_INT_CB(key->name, key->number, CFGF_NONE, config_parse_number);
    case KEY_BOOL:
        return (cfg_opt_t)CFG_BOOL_CB(key->name, (cfg_bool_t)key->number, CFGF_NONE,
                                      config_parse_bool);
    case KEY_LIST:
        return (cfg_opt_t)CFG_STR_LIST_CB(key->name, config_list_default(key), CFGF_NONE,
                                          config_parse_text);
    case KEY_STR:
        break;
    }
    return (cfg_opt_t)CFG_STR_CB(key->name, key->text, CFGF_NONE, config_parse_text);
}

static void create_all_options(struct options *options)
{
    for (size_t i = 0; i < SECTION_COUNT; i++) {
        const struct config_section *section = &config_sections[i];

        for (size_t j = 0; j < section->count; j++)
            options->of[i][j] = create_option(&section->key[j]);
        options->of[i][section->count] = (cfg_opt_t)CFG_END();
    }

    cfg_opt_t *at = &options->of[SECTION_ROOT][config_sections[SECTION_ROOT].count];
    for (size_t i = SECTION_ROOT + 1; i < SECTION_COUNT; i++) {
        const struct config_section *section = &config_sections[i];
        const cfg_flag_t flags = section->titled ? CFGF_TITLE | CFGF_MULTI : CFGF_NONE;

        *at++ = (cfg_opt_t)CFG_SEC(section->name, options->of[i], flags);
    }
    *at = (cfg_opt_t)CFG_END();
}

static void report_confuse_error(cfg_t *cfg, const char *fmt, va_list args)
{
    const struct config_origin origin = {cfg->line, config_loading->override};

    config_vproblem(config_loading, origin, NULL, fmt, args);
}

static bool parse_with_confuse(struct config_load *load, cfg_t *cfg, char *text)
{
    FILE *const file = fmemopen(text, strlen(text), "r");

    cfg_set_error_function(cfg, report_confuse_error);
    if (!file || cfg_parse_fp(cfg, file) != CFG_SUCCESS)
        load->broken = true;
    if (file)
        fclose(file);
    return !load->broken;
}

/* Overrides. */

/* Returns the option that "key" or "section.key" (`len` bytes) names, or NULL. *in: its section. */
static cfg_opt_t *find_override_option(cfg_t *root, const char *name, size_t len, cfg_t **in)
{
    const char *const dot = memchr(name, '.', len);
    const struct config_section *section = &config_sections[SECTION_ROOT];

    *in = root;
    if (dot) {
        section = config_section_find(name, (size_t)(dot - name));
        if (!section || section->titled)
            return NULL;
        *in = cfg_getsec(root, section->name);
        len -= (size_t)(dot + 1 - name);
        name = dot + 1;
    }

    const struct config_key *key = config_key_find(section, name, len);
    return key ? cfg_getopt(*in, key->name) : NULL;
}

/* Removes the spaces around the text, in place. Returns its new beginning. */
static char *trim_spaces(char *text)
{
    text += strspn(text, " ");
    for (size_t len = strlen(text); len > 0 && text[len - 1] == ' '; len--)
        text[len - 1] = '\0';
    return text;
}

/* Sets a list to the comma-separated items of `value`, without the spaces around them. */
static bool override_list_items(cfg_t *in, cfg_opt_t *opt, const char *value)
{
    char *const copy = strdup(value);
    char *rest = NULL;
    bool done = copy != NULL;

    cfg_free_value(opt);
    for (char *item = copy ? strtok_r(copy, ",", &rest) : NULL; item && done;
         item = strtok_r(NULL, ",", &rest)) {
        item = trim_spaces(item);
        if (*item != '\0')
            done = cfg_setopt(in, opt, item) != NULL;
    }
    free(copy);
    return done;
}

static void apply_override(struct config_load *load, cfg_t *root, const char *text)
{
    const struct config_origin origin = {.override = text};
    const char *const equals = strchr(text, '=');
    cfg_t *in = root;
    cfg_opt_t *opt = NULL;

    if (!equals) {
        config_problem(load, origin, NULL, "is not of the form key=value");
        return;
    }
    opt = find_override_option(root, text, (size_t)(equals - text), &in);
    if (!opt) {
        config_problem(load, origin, NULL,
                       strncmp(text, "opcode", strlen("opcode")) == 0
                           ? "opcodes can be declared only in push.conf"
                           : "unknown key");
        return;
    }

    if (in == root)
        load->origin[opt - root->opts] = origin; /* the options are in the table's order */
    load->override = text;
    if (!(opt->flags & CFGF_LIST ? override_list_items(in, opt, equals + 1)
                                 : cfg_setopt(in, opt, equals + 1) != NULL))
        load->broken = true;
    load->override = NULL;
}

/* Copying the values. */

static bool copy_list_items(cfg_opt_t *opt, struct string_list *list)
{
    const unsigned count = cfg_opt_size(opt);

    list->item = calloc(count ? count : 1, sizeof *list->item);
    if (!list->item)
        return false;
    for (unsigned i = 0; i < count; i++) {
        list->item[i] = strdup(cfg_opt_getnstr(opt, i));
        if (!list->item[i])
            return false;
        list->count++;
    }
    return true;
}

/* Copies the values of one section to the struct at `base`. False if memory runs out. */
static bool copy_section_values(cfg_t *cfg, const struct config_section *section, void *base)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct config_key *key = &section->key[i];
        cfg_opt_t *const opt = cfg_getopt(cfg, key->name);

        if (key->offset == CONFIG_NO_FIELD)
            continue;
        void *const field = (char *)base + key->offset;
        switch (key->kind) {
        case KEY_INT:
            *(uint32_t *)field = (uint32_t)cfg_opt_getnint(opt, 0);
            break;
        case KEY_ENUM:
            *(int *)field = (int)cfg_opt_getnint(opt, 0);
            break;
        case KEY_BOOL:
            *(bool *)field = cfg_opt_getnbool(opt, 0) == cfg_true;
            break;
        case KEY_STR:
            *(char **)field = strdup(cfg_opt_getnstr(opt, 0));
            if (!*(char **)field)
                return false;
            break;
        case KEY_LIST:
            if (!copy_list_items(opt, field))
                return false;
            break;
        }
    }
    return true;
}

/* Copies an opcode's rule. If `to` is missing, the target is TARGET_STREAM with a NULL key, which
 * config_check reports; if it is invalid, which was reported already, TARGET_DROP. */
static bool copy_opcode_rule(cfg_t *cfg, struct opcode_rule *rule)
{
    const char *const title = cfg_title(cfg);
    const char *key = NULL;
    char why[CONFIG_WHY_MAX];

    (void)config_parse_u32(title, strlen(title), &rule->op);
    if (!copy_section_values(cfg, &config_sections[SECTION_OPCODE], rule))
        return false;

    const char *const to = cfg_getstr(cfg, "to");
    if (*to != '\0' && !config_parse_target(to, &rule->target, &key, why))
        rule->target = TARGET_DROP;
    rule->key = key ? strdup(key) : NULL;
    return !key || rule->key;
}

static int compare_rules_by_opcode(const void *one, const void *other)
{
    const struct opcode_rule *a = one, *b = other;

    return (a->op > b->op) - (a->op < b->op);
}

static bool copy_opcode_rules(cfg_t *root, struct config *config)
{
    const unsigned count = cfg_size(root, "opcode");

    config->rule = calloc(count ? count : 1, sizeof *config->rule);
    if (!config->rule)
        return false;
    for (unsigned i = 0; i < count; i++) {
        config->rule_count++;
        if (!copy_opcode_rule(cfg_getnsec(root, "opcode", i), &config->rule[i]))
            return false;
    }
    qsort(config->rule, count, sizeof *config->rule, compare_rules_by_opcode);
    return true;
}

static struct config *copy_all_sections(cfg_t *root)
{
    struct config *const config = calloc(1, sizeof *config);
    bool copied = config && copy_section_values(root, &config_sections[SECTION_ROOT], config);

    for (size_t i = SECTION_ROOT + 1; copied && i < SECTION_COUNT; i++)
        if (!config_sections[i].titled)
            copied = copy_section_values(cfg_getsec(root, config_sections[i].name),
                                         &config_sections[i], config);
    if (copied && copy_opcode_rules(root, config))
        return config;
    config_free(config);
    return NULL;
}

/* Loading. */

static struct config *load_with_overrides(struct config_load *load,
                                          const struct config_override *override, size_t count)
{
    struct options options;
    struct config *config = NULL;
    char *const text = load_file_text(load);

    if (!text)
        return NULL;
    config_scan(load, text);
    create_all_options(&options);

    cfg_t *const root = cfg_init(options.of[SECTION_ROOT], CFGF_NONE);
    if (root) {
        const bool whole = parse_with_confuse(load, root, text);

        for (size_t i = 0; i < count; i++)
            apply_override(load, root, override[i].text);
        config = copy_all_sections(root);
        if (config && whole && !config_check(load, config))
            load->broken = true;
        cfg_free(root);
    }
    if (config)
        config->text = text;
    else
        free(text);
    if (!config || (load->broken && load->problem_count == 0))
        config_problem(load, (struct config_origin){0}, NULL, "out of memory");
    return config;
}

struct config *config_load(const char *path, const struct config_override *override, size_t count,
                           FILE *errors)
{
    return config_load_copy(path, path, override, count, errors);
}

struct config *config_load_copy(const char *path, const char *copy,
                                const struct config_override *override, size_t count, FILE *errors)
{
    struct config_load load = {.path = path, .copy = copy};

    config_loading = &load;
    struct config *config = load_with_overrides(&load, override, count);
    config_loading = NULL;

    if (load.broken || load.problem_count > 0) {
        config_problems_print(&load, errors);
        config_free(config);
        config = NULL;
    }
    config_problems_free(&load);
    free(load.opcode);
    return config;
}

bool config_admin(const char *path, struct admin_access *out, FILE *errors)
{
    struct config_load load = {.path = path, .copy = path};

    config_loading = &load;
    struct config *const config = load_with_overrides(&load, NULL, 0);
    config_loading = NULL;

    *out = (struct admin_access){0};
    if (config)
        *out = (struct admin_access){strdup(config->admin), strdup(config->admin_token)};
    else
        config_problems_print(&load, errors);
    config_free(config);
    config_problems_free(&load);
    free(load.opcode);
    return out->address && out->token;
}

void config_admin_free(struct admin_access *access)
{
    free(access->address);
    free(access->token);
    *access = (struct admin_access){0};
}

static void free_section_values(const struct config_section *section, void *base)
{
    for (size_t i = 0; i < section->count; i++) {
        if (section->key[i].offset == CONFIG_NO_FIELD)
            continue;
        void *const field = (char *)base + section->key[i].offset;

        if (section->key[i].kind == KEY_STR) {
            free(*(char **)field);
        } else if (section->key[i].kind == KEY_LIST) {
            struct string_list *const list = field;

            for (size_t j = 0; j < list->count; j++)
                free(list->item[j]);
            free(list->item);
        }
    }
}

void config_free(struct config *config)
{
    if (!config)
        return;
    for (size_t i = 0; i < SECTION_COUNT; i++)
        if (!config_sections[i].titled)
            free_section_values(&config_sections[i], config);
    for (size_t i = 0; i < config->rule_count; i++) {
        free_section_values(&config_sections[SECTION_OPCODE], &config->rule[i]);
        free(config->rule[i].key);
    }
    free(config->rule);
    free(config->text);
    free(config->listen_at);
    config_redis_free(&config->redis_at);
    free(config->auth_order);
    free(config->trusted);
    jwt_key_free(config->jwt_key);
    free(config);
}

const struct opcode_rule *config_rule(const struct config *config, uint32_t op)
{
    const struct opcode_rule wanted = {.op = op};

    if (config->rule_count == 0)
        return NULL;
    return bsearch(&wanted, config->rule, config->rule_count, sizeof wanted,
                   compare_rules_by_opcode);
}
