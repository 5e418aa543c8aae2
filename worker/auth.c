/* auth.c: from the credentials of a request to its owner. Called by the HTTP server before each handler, and by POST /api/anonymous.
 * A token is 256 random bits; only its sha256 is stored or kept. Found owners stay in a small table for half a minute, so that a request is one
 * statement. It does not decide what an owner may see: the statements do, by owner_id.
 * Sources: RFC 6265 section 4.1 (Set-Cookie), RFC 9110 section 11.6.1 (401). */
#include "config.h"
#include "worker/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/random.h>

#include "shared/base64.h"
#include "shared/clock.h"
#include "shared/log.h"
#include "worker/db/db.h"
#include "worker/http/response.h"

#define TOKEN_PREFIX    "ro_"
#define TOKEN_RANDOM    32                             /* bytes */
#define TOKEN_LENGTH    (sizeof TOKEN_PREFIX - 1 + 43) /* with base64url of these */
#define COOKIE_NAME     "renovationd_owner"
#define BEARER          "Bearer " /* RFC 6750 section 2.1 */
#define KNOWN_FOR_MS    30000
#define KNOWN_SETS      256 /* power of two */
#define KNOWN_WAYS      4
#define RETRY_AFTER_S   1
#define SECONDS_PER_DAY 86400
#define NAME_BYTES      8 /* of the hash, in the log: enough to tell owners apart */

struct token_hash {
	unsigned char bytes[SHA256_DIGEST_LENGTH];
};

/* One owner found lately. */
struct known {
	struct token_hash hash; /* of the token */
	struct uuid owner;      /* whose it is */
	int64_t until_ms;       /* monotonic; 0 = free */
};

struct auth {
	struct worker *worker; /* borrowed: database and options */
	EVP_MD *sha256;        /* owned; looked up once: libcrypto's own look-up costs more than a token's hash */
	EVP_MD_CTX *digest;    /* owned; reused */
	struct known known[KNOWN_SETS][KNOWN_WAYS]; /* by the first byte of the hash */
};

/* One request waiting for the database. Lives in its arena. */
struct lookup {
	struct request *rq;     /* who waits */
	authenticated_fn *done; /* what it waits for */
	struct token_hash hash; /* of the token sent or made */
};

struct auth *auth_open(struct worker *w)
{
	struct auth *auth = must_alloc(sizeof *auth);

	auth->worker = w;
	auth->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	auth->digest = EVP_MD_CTX_new();
	must(auth->sha256 != NULL && auth->digest != NULL);
	return auth;
}

void auth_close(struct auth **auth)
{
	if (*auth == NULL)
		return;
	EVP_MD_CTX_free((*auth)->digest);
	EVP_MD_free((*auth)->sha256);
	free(*auth);
	*auth = NULL;
}

static struct worker *worker_of(const struct request *rq)
{
	return request_context(rq);
}

static struct known *find_known(struct auth *auth, const struct token_hash *hash)
{
	struct known *set = auth->known[hash->bytes[0] & (KNOWN_SETS - 1)];
	int64_t now_ms = clock_monotonic_ms();

	for (int i = 0; i < KNOWN_WAYS; i++)
		if (set[i].until_ms > now_ms && memcmp(&set[i].hash, hash, sizeof *hash) == 0)
			return &set[i];
	return NULL;
}

/* Takes the place of the one that would be forgotten first. */
static void remember(struct auth *auth, const struct token_hash *hash, const struct uuid *owner)
{
	struct known *set = auth->known[hash->bytes[0] & (KNOWN_SETS - 1)], *oldest = set;

	for (int i = 1; i < KNOWN_WAYS; i++)
		if (set[i].until_ms < oldest->until_ms)
			oldest = &set[i];
	*oldest = (struct known) { .hash = *hash, .owner = *owner, .until_ms = clock_monotonic_ms() + KNOWN_FOR_MS };
}

static bool is_token(struct text t)
{
	if (t.length != TOKEN_LENGTH || !text_starts_with(t, TEXT(TOKEN_PREFIX)))
		return false;
	for (size_t i = sizeof TOKEN_PREFIX - 1; i < t.length; i++) {
		char c = t.bytes[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			    c == '_'))
			return false;
	}
	return true;
}

static struct token_hash hash_of(const struct auth *auth, struct text token)
{
	struct token_hash hash;

	must(EVP_DigestInit_ex2(auth->digest, auth->sha256, NULL) == 1);
	must(EVP_DigestUpdate(auth->digest, token.bytes, token.length) == 1);
	must(EVP_DigestFinal_ex(auth->digest, hash.bytes, NULL) == 1);
	return hash;
}

static struct db_param hash_param(const struct token_hash *hash)
{
	return DB_BYTES(text_span((const char *)hash->bytes, sizeof hash->bytes));
}

static void on_touched(void *arg, enum error e, const struct db_result *r)
{
	(void)arg;
	(void)r;
	if (e != ERROR_NONE)
		LOG(LOG_WARN, "owner not marked as seen", F_STR("error", error_code(e)));
}

/* The token lives on from its last use; written at most once a day. */
static void touch(struct worker *w, const struct uuid *owner)
{
	struct db_uuid id;
	struct db_number days;
	const struct db_param params[] = { db_uuid(&id, owner), db_int(&days, w->options.owner_token_days) };

	(void)db_submit(w->db, SQL_owners_touch, params, on_touched, NULL);
}

static void on_found(void *arg, enum error e, const struct db_result *r)
{
	struct lookup *l = arg;
	struct worker *w = worker_of(l->rq);

	if (e == ERROR_NONE && db_result_rows(r) == 0)
		e = ERROR_INVALID_CREDENTIALS;
	if (e == ERROR_NONE) {
		l->rq->owner = db_result_uuid(r, 0, 0);
		l->rq->has_owner = true;
		remember(w->auth, &l->hash, &l->rq->owner);
		if (db_result_bool(r, 0, 1))
			touch(w, &l->rq->owner);
	}
	l->done(l->rq, e, NULL);
}

static void find_owner(struct lookup *l, struct text token)
{
	struct worker *w = worker_of(l->rq);

	if (!is_token(token)) {
		l->done(l->rq, ERROR_INVALID_CREDENTIALS, NULL);
		return;
	}
	l->hash = hash_of(w->auth, token);

	const struct known *known = find_known(w->auth, &l->hash);

	if (known != NULL) {
		l->rq->owner = known->owner;
		l->rq->has_owner = true;
		l->done(l->rq, ERROR_NONE, NULL);
		return;
	}

	const struct db_param params[] = { hash_param(&l->hash) };

	(void)db_submit(w->db, SQL_owners_find, params, on_found, l);
}

/* Makes a token for a new owner and asks the database to keep its hash. */
static void mint(struct lookup *l, db_done_fn *minted)
{
	struct worker *w = worker_of(l->rq);
	unsigned char random[TOKEN_RANDOM];
	struct db_number days;

	must(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);

	struct text secret = base64url_format(&l->rq->arena, random, sizeof random);

	l->rq->owner_token = arena_printf(&l->rq->arena, TOKEN_PREFIX "%.*s", TEXT_ARGS(secret));
	l->hash = hash_of(w->auth, l->rq->owner_token);

	const struct db_param params[] = { hash_param(&l->hash), db_int(&days, w->options.owner_token_days) };

	(void)db_submit(w->db, SQL_owners_mint, params, minted, l);
}

/* Shared by both ways of minting: the request belongs to the new owner from here on. */
static bool take_new_owner(struct lookup *l, enum error e, const struct db_result *r)
{
	if (e != ERROR_NONE) {
		l->rq->owner_token = TEXT_NONE;
		return false;
	}
	l->rq->owner = db_result_uuid(r, 0, 0);
	l->rq->has_owner = true;
	l->rq->is_new_owner = true;
	remember(worker_of(l->rq)->auth, &l->hash, &l->rq->owner);
	return true;
}

static void on_minted(void *arg, enum error e, const struct db_result *r)
{
	struct lookup *l = arg;

	(void)take_new_owner(l, e, r);
	l->done(l->rq, e, NULL);
}

/* Without credentials a row's address looks like that of a row that is not there; a list or a create says what it wants. */
static enum error refusal(const struct request *rq)
{
	return strchr(rq->route->path, '{') != NULL ? ERROR_NOT_FOUND : ERROR_CREDENTIALS_REQUIRED;
}

void auth_request(struct request *rq, authenticated_fn *done)
{
	if (rq->route->auth == AUTH_NONE || rq->route->auth == AUTH_ADMIN) {
		done(rq, rq->route->auth == AUTH_ADMIN && !rq->is_admin ? ERROR_NOT_FOUND : ERROR_NONE, NULL);
		return;
	}

	struct lookup *l = arena_alloc(&rq->arena, sizeof *l);
	struct text token = request_header(rq, "X-Owner-Token");

	*l = (struct lookup) { .rq = rq, .done = done };
	if (token.bytes == NULL)
		token = request_cookie(rq, COOKIE_NAME);
	if (token.bytes != NULL)
		find_owner(l, token);
	else if (request_header(rq, "Authorization").bytes != NULL || request_header(rq, "X-API-Key").bytes != NULL)
		done(rq, ERROR_INVALID_CREDENTIALS,
			"Accounts and API keys are not configured here; send X-Owner-Token");
	else if (rq->route->auth == AUTH_MINT)
		mint(l, on_minted);
	else if (rq->route->auth == AUTH_OWNER)
		done(rq, refusal(rq), NULL);
	else
		done(rq, ERROR_NONE, NULL);
}

/* ---- the operator -------------------------------------------------------------------------------------------- */

/* Hashes are compared, so that neither the length nor the first wrong byte shows in the time it takes. */
bool auth_is_operator(const struct request *rq)
{
	const struct worker *w = worker_of(rq);
	struct text wanted = text_of(w->options.admin_token), sent = request_header(rq, "Authorization");

	if (wanted.length == 0 || sent.bytes == NULL || sent.length <= sizeof BEARER - 1 ||
		!text_equals_nocase(text_span(sent.bytes, sizeof BEARER - 1), TEXT(BEARER)))
		return false;

	struct text token = text_span(sent.bytes + sizeof BEARER - 1, sent.length - (sizeof BEARER - 1));
	struct token_hash a = hash_of(w->auth, wanted), b = hash_of(w->auth, token);

	return CRYPTO_memcmp(&a, &b, sizeof a) == 0;
}

/* ---- in the log ------------------------------------------------------------------------------------------------ */

/* Without a key: ids are random, so that nobody finds one by trying, and whoever has the id finds its lines (sha256sum). */
void auth_name_owner(const struct request *rq, char out[UUID_TEXT_BYTES])
{
	const struct worker *w = worker_of(rq);
	struct token_hash hash;

	uuid_format(&rq->owner, out);
	if (!w->options.log_user_hash)
		return;
	hash = hash_of(w->auth, text_span(out, UUID_TEXT_BYTES - 1));
	for (int i = 0; i < NAME_BYTES; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", hash.bytes[i]);
}

/* ---- POST /api/anonymous ------------------------------------------------------------------------------------- */

static void set_cookie(struct request *rq)
{
	bool is_secure = text_equals_nocase(request_header(rq, "X-Forwarded-Proto"), TEXT("https"));
	int64_t seconds = worker_of(rq)->options.owner_token_days * SECONDS_PER_DAY;
	struct text cookie =
		arena_printf(&rq->arena, COOKIE_NAME "=%.*s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Lax%s",
			TEXT_ARGS(rq->owner_token), (long long)seconds, is_secure ? "; Secure" : "");

	response_header(rq, "Set-Cookie", cookie.bytes);
}

static void on_anonymous(void *arg, enum error e, const struct db_result *r)
{
	struct lookup *l = arg;
	struct request *rq = l->rq;

	if (!take_new_owner(l, e, r)) {
		if (error_status(e) == 503)
			response_problem_retry(rq, e, NULL, RETRY_AFTER_S);
		else
			response_problem(rq, e, NULL);
		return;
	}
	set_cookie(rq);
	response_header(rq, "Cache-Control", "no-store");
	response_json(rq, 201,
		arena_printf(&rq->arena, "{\"ownerToken\":\"%.*s\",\"expiresAt\":\"%.*s\"}", TEXT_ARGS(rq->owner_token),
			TEXT_ARGS(db_result_text(r, 0, 1))));
}

void auth_anonymous(struct request *rq)
{
	struct lookup *l = arena_alloc(&rq->arena, sizeof *l);

	l->rq = rq;
	mint(l, on_anonymous);
}
