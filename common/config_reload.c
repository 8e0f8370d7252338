/*
 * See config_keep in config.h. What may change is said by the one table, so a key cannot be
 * reloadable here and not in the documents.
 */
#include "common/config_internal.h"

#include <string.h>

static bool same_list(const struct string_list *a, const struct string_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->item[i], b->item[i]) != 0)
            return false;
    return true;
}

static size_t size_of(enum config_kind kind)
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

static bool same(enum config_kind kind, const void *a, const void *b)
{
    if (kind == KEY_STR)
        return strcmp(*(char *const *)a, *(char *const *)b) == 0;
    if (kind == KEY_LIST)
        return same_list(a, b);
    return memcmp(a, b, size_of(kind)) == 0;
}

static void exchange(void *a, void *b, size_t size)
{
    uint8_t kept[sizeof(struct listen_address)];
    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

/* The parsed addresses point into the strings that they were parsed from, and move with them. */
static void exchange_addresses(struct config *fresh, struct config *old, const char *key)
{
    if (strcmp(key, "listen") == 0)
        exchange(&fresh->listen_at, &old->listen_at, sizeof(fresh->listen_at));
    else if (strcmp(key, "admin") == 0)
        exchange(&fresh->admin_at, &old->admin_at, sizeof(fresh->admin_at));
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
        if (same(key->kind, new_value, old_value))
            continue;
        exchange(new_value, old_value, size_of(key->kind));
        exchange_addresses(fresh, old, key->name);
        kept(key->name);
    }
}
