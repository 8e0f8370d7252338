/*
 * The token of the admin interface, read from a file or the environment: never from the command
 * line, which every user of the machine can read (ps).
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_TOKEN_H
#define WSPUSHD_TOOLS_WSPUSHCTL_TOKEN_H

#include "tools/wspushctl_options.h"

/* Replaces *token (owned, may be NULL) by the content of --token-file, or else by
 * $WSPUSHD_ADMIN_TOKEN; leaves it unchanged if neither is given. Returns false after printing an
 * error. */
bool ctl_token_find(const struct ctl_options *options, char **token);

#endif
