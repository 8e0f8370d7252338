/*
 * Which keys a reload or an upgrade may change: see config_keep and config_differs in config.h. The
 * answer comes from the table of keys, so the code and the documents cannot disagree.
 */
#include "common/config_internal.h"

#include <string.h>

static bool lists_are_equal(const struct string_list *a, const struct string_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->item[i], b->item[i]) != 0)
            return false;
    return true;
}

static size_t size_of_kind(enum config_kind kind)
{
    static const size_t size[] = {
        [KEY_INT] = sizeof(uint32_t),
        [KEY_BOOL] = sizeof(bool),
        [KEY_STR] = sizeof(char *),
        [KEY_ENUM] = sizeof(int),
        [KEY_LIST] = sizeof(struct string_list),
    };
    return size[kind];
}

static bool values_are_equal(enum config_kind kind, const void *a, const void *b)
{
    if (kind == KEY_STR)
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    if (kind == KEY_LIST)
        return lists_are_equal(a, b);
    return memcmp(a, b, size_of_kind(kind)) == 0;
}

static void swap_values(void *a, void *b, size_t size)
{
    uint8_t kept[sizeof(struct string_list)];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

void config_keep(struct config *fresh, struct config *old, void (*kept)(const char *key))
{
    const struct config_section *root = &config_sections[SECTION_ROOT];
    for (size_t i = 0; i < root->count; i++) {
        const struct config_key *key = &root->key[i];
        if (key->change != RESTART || key->offset == CONFIG_NO_FIELD)
            continue;
        void *new_value = (uint8_t *)fresh + key->offset;
        void *old_value = (uint8_t *)old + key->offset;
        if (values_are_equal(key->kind, new_value, old_value))
            continue;
        swap_values(new_value, old_value, size_of_kind(key->kind));
        kept(key->name);
    }
}

/* ---- As text, for another version of the server ---- */

static void print_key_value(const struct config_key *key, const void *value, FILE *out)
{
    const struct string_list *list = value;
    switch (key->kind) {
    case KEY_INT:
        fprintf(out, "%u", *(const uint32_t *)value);
        break;
    case KEY_BOOL:
        fputs(*(const bool *)value ? "true" : "false", out);
        break;
    case KEY_STR:
        fputs(*(char *const *)value, out);
        break;
    case KEY_ENUM:
        fputs(key->words[*(const int *)value], out);
        break;
    case KEY_LIST:
        for (size_t i = 0; i < list->count; i++)
            fprintf(out, "%s%s", i ? "," : "", list->item[i]);
        break;
    }
}

void config_kept_text(const struct config *config, char *out, size_t size)
{
    const struct config_section *root = &config_sections[SECTION_ROOT];
    FILE *text = fmemopen(out, size, "w");
    out[0] = '\0';
    if (!text)
        return;
    for (size_t i = 0; i < root->count; i++) {
        const struct config_key *key = &root->key[i];
        if (key->change == RELOAD || key->offset == CONFIG_NO_FIELD)
            continue;
        fprintf(text, "%s=", key->name);
        print_key_value(key, (const uint8_t *)config + key->offset, text);
        fputc('\n', text);
    }
    fclose(text);
    out[size - 1] = '\0';
}

/* Returns the line of `key` in the text, or NULL if there is none. *len: without the newline. */
static const char *find_key_line(const char *text, const char *key, size_t key_len, size_t *len)
{
    for (const char *at = text; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        if (strncmp(at, key, key_len) == 0 && at[key_len] == '=') {
            *len = strcspn(at, "\n");
            return at;
        }
    }
    return NULL;
}

bool config_differs(const struct config *config, const char *text,
                    void (*differs)(const char *key, bool reload))
{
    const struct config_section *root = &config_sections[SECTION_ROOT];
    char own[4096];
    bool any = false;
    config_kept_text(config, own, sizeof(own));
    for (size_t i = 0; i < root->count; i++) {
        const char *key = root->key[i].name;
        size_t len = 0, other_len = 0;
        const char *line = find_key_line(own, key, strlen(key), &len);
        const char *other = find_key_line(text, key, strlen(key), &other_len);
        if (!line || !other || (len == other_len && memcmp(line, other, len) == 0))
            continue;
        differs(key, root->key[i].change == RELOAD_ONLY);
        any = true;
    }
    return any;
}
