/*
 * Warnings of `wspushd -t` about valid but dangerous settings: secrets that every user of the
 * machine can read, and an admin token that is too short. A public key is not a secret, and neither
 * is a push.conf that takes its secrets from the environment.
 */
#include "common/config_internal.h"

#include <string.h>
#include <sys/stat.h>

enum { TOKEN_SHORT = 16 /* characters: shorter tokens can be guessed */ };

/* True if every user can read the file. *mode: its permissions. */
static bool is_world_readable(const char *path, unsigned *mode)
{
    struct stat status;

    if (stat(path, &status) == -1)
        return false;
    *mode = status.st_mode & 07777;
    return (status.st_mode & S_IROTH) != 0;
}

static bool has_secret_key(const struct config *config)
{
    return config->jwt_key && jwt_key_is_secret(config->jwt_key);
}

/* True if the value is in the file itself, not in an environment variable. */
static bool is_in_file_text(const struct config *config, const char *value)
{
    return *value != '\0' && strstr(config->text, value) != NULL;
}

static void warn_of_readable_conf(const struct config *config, const char *path, FILE *out)
{
    const bool password =
        config->redis_at.password != NULL && is_in_file_text(config, config->redis);
    const bool token = is_in_file_text(config, config->admin_token);
    unsigned mode = 0;

    if ((password || token) && is_world_readable(path, &mode))
        fprintf(out,
                "%s: warning: every user can read this file (mode %04o), which contains %s%s%s: "
                "chmod o-r, or write \"${NAME}\" and set NAME in the environment\n",
                path, mode, password ? "the password in redis" : "",
                password && token ? " and " : "", token ? "admin_token" : "");
}

void config_warn(const struct config *config, const char *path, FILE *out)
{
    const size_t token_len = strlen(config->admin_token);
    unsigned mode = 0;

    warn_of_readable_conf(config, path, out);
    if (has_secret_key(config) && is_world_readable(config->jwt.key_file, &mode))
        fprintf(
            out,
            "%s: jwt.key_file: warning: every user can read %s (mode %04o) and then make tokens "
            "for any user: chmod o-r\n",
            path, config_quoted(config->jwt.key_file), mode);
    if (token_len > 0 && token_len < TOKEN_SHORT)
        fprintf(out,
                "%s: admin_token: warning: %zu characters can be guessed: make a longer one "
                "with openssl rand -hex 32\n",
                path, token_len);
}
