/*
 * What the options of an envelope must be. Internal to proto/: envelope.c checks them all at once,
 * explain.c looks for the one that is wrong.
 */
#ifndef WSPUSHD_PROTO_ENVELOPE_OPTIONS_H
#define WSPUSHD_PROTO_ENVELOPE_OPTIONS_H

#include <stdbool.h>

#include "proto/members.h"

/* True if the value is absent, or what this member must be. Of op and of the payload, which are no
 * options: true. */
bool envelope_option_valid(enum member member, const struct json_value *value);

/* True if the value is a string that can be a user's name by its length. */
bool envelope_user_valid(const struct json_value *value);

#endif
