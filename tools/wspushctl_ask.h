/*
 * Requests to the server and their answers as JSON: the layer between the commands and HTTP.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_ASK_H
#define WSPUSHD_TOOLS_WSPUSHCTL_ASK_H

#include "tools/wspushctl.h"

#include <jansson.h>

enum {
    ASK_MS = 10000,  /* timeout of a request, in milliseconds */
    AGAIN_MS = 2000, /* timeout of a request that is repeated until it succeeds */
    EVERY_MS = 50    /* pause between two such requests */
};

/* A JSON document that the server sent. */
struct document {
    json_t *json;       /* owned */
    struct buffer text; /* the same, as received */
    int status;         /* HTTP status */
};
void document_free(struct document *document);

/* ask() sends a GET for `path`, ask_to() a POST of `body`. Both return CTL_DONE and a document
 * (document_free()) if the status is 2xx (or `also`, if that is not 0); otherwise the exit status,
 * after printing the reason on stderr. */
enum ctl_exit ask(const struct ctl *ctl, const char *path, int also, struct document *document);
enum ctl_exit ask_to(const struct ctl *ctl, const char *path, const char *body, size_t len,
                     struct document *document);

/* Sends a GET that the caller repeats until something has happened, so it prints nothing. Returns
 * false if there is no document now; then only document->status is set (0: no answer). *gone is set
 * if nothing listens at the address any more. */
bool ask_quietly(const struct ctl *ctl, const char *path, struct document *document, bool *gone);

/* Sleeps for EVERY_MS. */
void pause_a_moment(void);

/* Prints the server's answer unchanged, for --json. */
void document_print(struct document *document);

/* Return a member of a document, or 0, "" or false if it is absent. The text is safe to print and
 * is in one of eight static buffers. */
long long number_of(const json_t *object, const char *name);
const char *text_of(const json_t *object, const char *name);
bool truth_of(const json_t *object, const char *name);

/* Prints an error on stderr, prefixed by the program's name. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
