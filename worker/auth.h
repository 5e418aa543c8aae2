/* auth.h: who is asking. Owner tokens now: X-Owner-Token, or the cookie of the web page; and the operator's. Handed to the HTTP server when it opens. */
#ifndef RENOVATIOND_WORKER_AUTH_H
#define RENOVATIOND_WORKER_AUTH_H

#include "worker/http/server.h"
#include "worker/worker.h"

struct auth;

/* Needs w->db and w->options, now and until auth_close. */
struct auth *auth_open(struct worker *w);
void auth_close(struct auth **auth);

/* The authenticator for http_options; finds its struct auth through request_context(rq). */
void auth_request(struct request *rq, authenticated_fn *done);

/* Does the request carry option admin_token as Authorization: Bearer? Never when the option is empty. */
bool auth_is_operator(const struct request *rq);

/* What log lines call the owner of the request: its id, or with option log_user_hash the beginning of the SHA-256 of its text form. For http_options. */
void auth_name_owner(const struct request *rq, char out[UUID_TEXT_BYTES]);

/* POST /api/anonymous: a new owner and its token, also as header and as HttpOnly cookie. */
void auth_anonymous(struct request *rq);

#endif
