/*
 * Validates JSON from backends and operators: commands on push:ctl, and bodies of admin requests.
 * Each function returns true, or false with the reason in `why`: the value, the place, and what is
 * expected there.
 */
#ifndef WSPUSHD_WORKER_CHECKS_H
#define WSPUSHD_WORKER_CHECKS_H

#include "proto/explain.h"
#include "proto/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Returns the member `name` of the valid object in `text` (the last one, if it is repeated), or
 * JSON_TYPE_NONE if it is absent. Borrows from the text. */
struct json_value check_member(const char *text, size_t len, const char *name);

/* Decodes a string of at most `max` bytes into `out` (max + 1 bytes, NUL-terminated). Returns its
 * length, or -1 if the value is not such a string. */
ssize_t check_decode(char *out, size_t max, const struct json_value *value);

/* Check the name of a user or a topic. `label` is its place in the JSON: "user", "topics[1]". */
bool check_user(char why[EXPLAIN_MAX], const char *label, const struct json_value *value);
bool check_topic(char why[EXPLAIN_MAX], const char *label, const struct json_value *value);

/* Check an array of 1 to `most` names of users or topics. SIZE_MAX: no upper limit. */
bool check_users(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                 size_t most);
bool check_topics(char why[EXPLAIN_MAX], const char *label, const struct json_value *value,
                  size_t most);

/* Checks the members "code" and "reason" of a kick. Either may be absent. */
bool check_kick(char why[EXPLAIN_MAX], const char *text, size_t len);

#endif
