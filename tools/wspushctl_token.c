/*
 * See wspushctl_token.h. The newline at the end of a file is not part of the token. A token that
 * cannot be sent in a header field is refused here, because the server would only answer that the
 * request is invalid.
 */
#include "tools/wspushctl_token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MOST = 4096 };

static bool refuse_bad_token(const char *where, const char *why)
{
    fprintf(stderr, "wspushctl: %s: %s\n", where, why);
    return false;
}

static bool take_token_text(char **token, const char *where, const char *text)
{
    const size_t len = strcspn(text, "\r\n");
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return refuse_bad_token(where, "a token must be visible ASCII without white space");
    if (len == 0)
        return refuse_bad_token(where, "the token is empty");
    free(*token);
    *token = strndup(text, len);
    return *token != NULL;
}

bool ctl_token_find(const struct ctl_options *options, char **token)
{
    const char *variable = getenv("WSPUSHD_ADMIN_TOKEN");
    char text[TOKEN_MOST + 1];
    if (!options->token_file)
        return !variable || !*variable || take_token_text(token, "WSPUSHD_ADMIN_TOKEN", variable);
    FILE *file = fopen(options->token_file, "re");
    if (!file)
        return refuse_bad_token(options->token_file, strerror(errno));
    text[fread(text, 1, TOKEN_MOST, file)] = '\0';
    fclose(file);
    return take_token_text(token, options->token_file, text);
}
