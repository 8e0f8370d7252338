/*
 * A question to the server, and its answer as JSON: what is between the commands and HTTP.
 */
#ifndef WSPUSHD_TOOLS_WSPUSHCTL_ASK_H
#define WSPUSHD_TOOLS_WSPUSHCTL_ASK_H

#include "tools/wspushctl.h"

#include <jansson.h>

enum {
    ASK_MS = 10000,  /* for an answer that somebody waits for */
    AGAIN_MS = 2000, /* for one that is asked for again if it does not come */
    EVERY_MS = 50    /* between two of those */
};

/* A document that the server has answered. */
struct document {
    json_t *json;       /* owned */
    struct buffer text; /* the same, as it came */
    int status;         /* of HTTP */
};
void document_free(struct document *document);

/* GETs `path`, or POSTs `body` to it. Returns CTL_DONE with a document of status 2xx (or of
 * `also`, where that is not 0); otherwise the exit status, after saying why on stderr. */
enum ctl_exit ask(const struct ctl *ctl, const char *path, int also, struct document *document);
enum ctl_exit ask_to(const struct ctl *ctl, const char *path, const char *body, size_t len,
                     struct document *document);

/* The same for a GET that is repeated until something has come about, so it says nothing: false,
 * and only document->status (0: no answer), if there is no document now. *gone: nobody listens
 * there any more. */
bool ask_quietly(const struct ctl *ctl, const char *path, struct document *document, bool *gone);

/* Sleeps for EVERY_MS. */
void pause_a_moment(void);

/* Prints what the server has answered, for --json. */
void document_print(struct document *document);

/* Members of a document that may lack them: 0, "" and NULL then. Text is safe to print, in one of
 * eight static buffers. */
long long number_of(const json_t *object, const char *name);
const char *text_of(const json_t *object, const char *name);
bool truth_of(const json_t *object, const char *name);

/* Says on stderr what went wrong, with the program's name before it. */
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
