/*
 * Checks of what backends and operators write as JSON: commands on push:ctl, bodies of admin HTTP.
 * Each returns true, or false with what is wrong in `why`: the value, the place, what belongs
 * there.
 */
#ifndef WSPUSHD_WORKER_CHECKS_H
#define WSPUSHD_WORKER_CHECKS_H

#include "proto/explain.h"
#include "proto/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Returns the member of the valid object in `text`, the last if it is there more than once;
 * JSON_TYPE_NONE if it is absent. Borrows from the text. */
struct json_value check_member(const char *text, size_t len, const char *name);

/* Decodes a string of at most `max` bytes into `out` (max + 1 bytes, NUL-terminated); returns its
 * length, or -1 if the value is not such a string. */
ssize_t check_decode(char *out, size_t max, const struct json_value *value);

/* Checks the name of a user or a topic; `label` says what it is: "user", "topics[1]". */
bool check_user(char why[EXPLAIN_MAX], const char *label, const struct json_value *value);
bool check_topic(char why[EXPLAIN_MAX], const char *label, const struct json_value *value);

/* Checks an array of 1 to `most` names of users or topics; SIZE_MAX: of any number above 0. */
bool check_users(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                 size_t most);
bool check_topics(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                  size_t most);

/* Checks the members "code" and "reason" of a kick. Either may be absent. */
bool check_kick(char why[EXPLAIN_MAX], const char *text, size_t len);

#endif
