/*
 * The rules for the options of an envelope. Internal to proto/: envelope.c checks all of them at
 * once, explain.c finds the one that is wrong.
 */
#ifndef WSPUSHD_PROTO_ENVELOPE_OPTIONS_H
#define WSPUSHD_PROTO_ENVELOPE_OPTIONS_H

#include <stdbool.h>

#include "proto/members.h"

/* True if the value is absent or valid for this member. Always true of op and of the payload, which
 * are not options. */
bool envelope_option_valid(enum member member, const struct json_value *value);

/* True if the value is a string whose length is that of a valid user name. */
bool envelope_user_valid(const struct json_value *value);

#endif
