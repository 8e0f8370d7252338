/*
 * See token.h. The JSON scanner reads the header and the payload in place after decoding, so
 * nothing is allocated, and hostile nesting is limited by JSON_DEPTH_MAX.
 *
 * Only two members of the header are used, and both only to refuse: an algorithm other than that of
 * the key ("none" is just another one), and extensions that must be understood (crit, RFC 7515
 * §4.1.11), of which none is supported. A member that occurs twice is ambiguous (RFC 7519 §4): such
 * a token is malformed.
 */
#include "proto/token.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"

const char *token_error_text(enum token_error error)
{
    static const char *const texts[] = {[TOKEN_OK] = "it is right",
#define TEXT_ROW(name, text) [TOKEN_##name] = (text),
                                        TOKEN_ERRORS(TEXT_ROW)
#undef TEXT_ROW
    };
    return texts[error];
}

/* A wanted member, and where its value goes. */
struct wanted {
    const char *name;
    struct json_value *value;
};

/* Finds members of the object in text[0..len). Returns false if the text is not an object, or has
 * one of them twice. */
static bool find_wanted_members(const uint8_t *text, size_t len, const struct wanted *wanted,
                                size_t count)
{
    struct json_walk walk = json_walk_object((const char *)text, len);
    struct json_value name, value;
    while (json_next(&walk, &name, &value)) {
        for (size_t i = 0; i < count; i++) {
            if (!json_string_is(&name, wanted[i].name))
                continue;
            if (wanted[i].value->type != JSON_TYPE_NONE)
                return false;
            *wanted[i].value = value;
        }
    }
    return !walk.failed;
}

static enum token_error read_token_header(const uint8_t *text, size_t len, const char *algorithm)
{
    struct json_value alg = {0}, crit = {0};
    const struct wanted wanted[] = {{"alg", &alg}, {"crit", &crit}};
    if (!find_wanted_members(text, len, wanted, 2))
        return TOKEN_MALFORMED;
    if (alg.type != JSON_TYPE_STRING || !json_string_is(&alg, algorithm))
        return TOKEN_ALGORITHM;
    return crit.type == JSON_TYPE_NONE ? TOKEN_OK : TOKEN_CRITICAL;
}

static enum token_error read_token_claims(struct token *token, const uint8_t *text, size_t len)
{
    const struct wanted wanted[] = {{"sub", &token->sub},
                                    {"iss", &token->iss},
                                    {"aud", &token->aud},
                                    {"exp", &token->exp},
                                    {"nbf", &token->nbf}};
    return find_wanted_members(text, len, wanted, sizeof(wanted) / sizeof(wanted[0]))
               ? TOKEN_OK
               : TOKEN_MALFORMED;
}

/* Takes the next part from the text and decodes it to *out. Returns its length, or -1. */
static ssize_t take_token_part(struct slice *rest, bool last, uint8_t *out)
{
    const char *const dot = memchr(rest->at, '.', rest->len);
    if ((dot == NULL) != last)
        return -1;
    const size_t len = dot ? (size_t)(dot - rest->at) : rest->len;
    const ssize_t decoded = base64url_decode(out, rest->at, len);
    *rest = (struct slice){rest->at + len + !last, rest->len - len - !last};
    return decoded;
}

enum token_error token_read(struct token *token, const char *text, size_t len,
                            const char *algorithm, uint8_t *buffer)
{
    struct slice rest = {text, len};
    *token = (struct token){0};
    const ssize_t header = take_token_part(&rest, false, buffer);
    if (header < 0)
        return TOKEN_MALFORMED;
    const enum token_error error = read_token_header(buffer, (size_t)header, algorithm);
    if (error)
        return error;
    uint8_t *const claims = buffer + header;
    const ssize_t payload = take_token_part(&rest, false, claims);
    if (payload < 0)
        return TOKEN_MALFORMED;
    json_mask_surrogates((char *)claims, (size_t)payload);
    token->signed_part = (struct slice){text, (size_t)(rest.at - text) - 1};
    const ssize_t signature = take_token_part(&rest, true, claims + payload);
    if (signature < 0)
        return TOKEN_MALFORMED;
    token->signature = claims + payload;
    token->signature_len = (size_t)signature;
    return read_token_claims(token, claims, (size_t)payload);
}

/* Reads a NumericDate (RFC 7519 §2): seconds, optionally with a fraction, which is dropped. A value
 * out of range becomes the nearest possible time. */
static bool read_numeric_date(const struct json_value *value, uint64_t *date)
{
    char text[64];
    if (value->type != JSON_TYPE_NUMBER || value->len >= sizeof(text))
        return false;
    memcpy(text, value->at, value->len);
    text[value->len] = '\0';
    const double seconds = strtod(text, NULL);
    *date = seconds <= 0 ? 0 : seconds >= UINT32_MAX ? UINT32_MAX : (uint64_t)seconds;
    return true;
}

static enum token_error check_token_times(const struct token *token,
                                          const struct token_rules *rules, uint32_t *expires)
{
    uint64_t date = 0;
    *expires = 0;
    if (token->exp.type != JSON_TYPE_NONE) {
        if (!read_numeric_date(&token->exp, &date))
            return TOKEN_BAD_CLAIM;
        date += rules->leeway;
        if (date <= rules->now)
            return TOKEN_EXPIRED;
        *expires = date < UINT32_MAX ? (uint32_t)date : UINT32_MAX;
    }
    if (token->nbf.type == JSON_TYPE_NONE)
        return TOKEN_OK;
    if (!read_numeric_date(&token->nbf, &date))
        return TOKEN_BAD_CLAIM;
    return date > rules->now + rules->leeway ? TOKEN_NOT_YET : TOKEN_OK;
}

/* True if aud, one name or an array of names (RFC 7519 §4.1.3), contains the audience. */
static bool audience_is_named(const struct json_value *aud, const char *audience)
{
    struct json_value name;
    if (aud->type == JSON_TYPE_STRING)
        return json_string_is(aud, audience);
    if (aud->type != JSON_TYPE_ARRAY)
        return false;
    struct json_walk walk = json_walk_array(aud->at, aud->len);
    while (json_next(&walk, NULL, &name))
        if (name.type == JSON_TYPE_STRING && json_string_is(&name, audience))
            return true;
    return false;
}

enum token_error token_check(const struct token *token, const struct token_rules *rules,
                             uint32_t *expires)
{
    const enum token_error error = check_token_times(token, rules, expires);
    if (error)
        return error;
    if (*rules->audience && !audience_is_named(&token->aud, rules->audience))
        return TOKEN_AUDIENCE;
    if (*rules->issuer &&
        (token->iss.type != JSON_TYPE_STRING || !json_string_is(&token->iss, rules->issuer)))
        return TOKEN_ISSUER;
    return token->sub.type == JSON_TYPE_STRING ? TOKEN_OK : TOKEN_NO_SUBJECT;
}
