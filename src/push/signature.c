/*
 * signature.c
 *		Standard Webhooks: requests are signed, and those of others verified.
 *
 * What is signed is "id.timestamp.body", with HMAC and SHA-256.  It is done in the
 * database when a task is claimed, so that a secret never leaves it; who sends
 * gets the signature alone.
 */
#include "postgres.h"

#include "common/hmac.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/signature.h"
#include "push/headers.h"
#include "push/signature.h"

/* Whether all went well. */
static bool
authenticate(pg_hmac_ctx *ctx, const uint8 *secret, size_t len, const char *head,
			 const bytea *body, uint8 mac[PG_SHA256_DIGEST_LENGTH])
{
	if (pg_hmac_init(ctx, secret, len) < 0 ||
		pg_hmac_update(ctx, (const uint8 *) head, strlen(head)) < 0)
		return false;
	if (body != NULL && pg_hmac_update(ctx, (const uint8 *) VARDATA_ANY(body),
									   VARSIZE_ANY_EXHDR(body)) < 0)
		return false;
	return pg_hmac_final(ctx, mac, PG_SHA256_DIGEST_LENGTH) >= 0;
}

/* head: all before the body. */
static char *
sign(const uint8 *secret, size_t len, const char *head, const bytea *body)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	uint8 mac[PG_SHA256_DIGEST_LENGTH];
	char *text = palloc(TQ_SIGNATURE_LENGTH + 1);
	bool done = ctx != NULL && authenticate(ctx, secret, len, head, body, mac);

	if (ctx != NULL)
		pg_hmac_free(ctx);
	if (!done)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute a signature")));
	tq_signature_write(mac, text);
	return text;
}

char *
signature_make(const bytea *secret, const char *id, int64 unix_time, const bytea *body)
{
	char *head = psprintf("%s." INT64_FORMAT ".", id, unix_time);

	return sign((const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret), head, body);
}

/* TQ004 without a word of the secret. */
static size_t
read_secret(text *value, uint8 secret[TQ_SECRET_MAX])
{
	size_t len;
	const char *wrong = tq_secret_read(text_to_cstring(value), secret, &len);

	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("invalid secret"),
				 errdetail("The secret cannot be used: %s.", wrong),
				 errhint("Pass whsec_ and 24 to 64 bytes in base64, or have "
						 "taskq.rotate_secret() make one."),
				 errhidestmt(true)));
	return len;
}

PG_FUNCTION_INFO_V1(taskq_read_secret);
Datum
taskq_read_secret(PG_FUNCTION_ARGS)
{
	uint8 secret[TQ_SECRET_MAX];
	size_t len;
	bytea *result;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	len = read_secret(PG_GETARG_TEXT_PP(0), secret);
	result = palloc(VARHDRSZ + len);
	SET_VARSIZE(result, VARHDRSZ + len);
	memcpy(VARDATA(result), secret, len);
	PG_RETURN_BYTEA_P(result);
}

/* ---- verification ----------------------------------------------------------------- */

/* Whether the timestamp, Unix seconds in digits alone, is at most so far from now. */
static bool
is_near(const char *timestamp, int64 tolerance_us)
{
	int64 now = GetCurrentTimestamp() / USECS_PER_SEC +
				(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * INT64CONST(86400);
	size_t len = strlen(timestamp);
	int64 distance;

	if (len == 0 || len > 12 || strspn(timestamp, "0123456789") != len)
		return false;
	distance = strtoll(timestamp, NULL, 10) - now;
	return llabs(distance) <= tolerance_us / USECS_PER_SEC;
}

PG_FUNCTION_INFO_V1(taskq_verify_signature);
Datum
taskq_verify_signature(PG_FUNCTION_ARGS)
{
	int64 tolerance_us = arg_interval_us(fcinfo, 3, "tolerance", 0, 0, MAX_DELAY_US);
	uint8 secret[TQ_SECRET_MAX];
	size_t secret_len;
	Jsonb *headers;
	char *id = NULL;
	char *timestamp = NULL;
	char *signatures = NULL;
	char *expected;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("secret must not be NULL"),
				 errdetail("Without one nothing can be verified."),
				 errhint("Pass the secret that the sender has, too.")));
	secret_len = read_secret(PG_GETARG_TEXT_PP(0), secret);
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	headers = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_OBJECT(headers))
		PG_RETURN_BOOL(false);
	(void) headers_find(headers, "webhook-id", &id);
	(void) headers_find(headers, "webhook-timestamp", &timestamp);
	(void) headers_find(headers, "webhook-signature", &signatures);
	/* A dot in the id could move what is signed from one part to the next. */
	if (id == NULL || strchr(id, '.') != NULL || timestamp == NULL || signatures == NULL ||
		!is_near(timestamp, tolerance_us))
		PG_RETURN_BOOL(false);
	expected = sign(secret, secret_len, psprintf("%s.%s.", id, timestamp),
					PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2));
	PG_RETURN_BOOL(tq_signature_is_among(signatures, expected));
}
