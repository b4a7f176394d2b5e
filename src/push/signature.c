/*
 * signature.c
 *		Signs requests and verifies signed requests, as Standard Webhooks does.
 *
 * The signature is an HMAC with SHA-256 of "id.timestamp.body".  The database signs a request
 * when its task is claimed, so the secret never leaves the database: the sender gets only the
 * signature.
 */
#include "postgres.h"

#include "common/sha2.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "base/arg.h"
#include "base/errors.h"
#include "core/signature.h"
#include "push/headers.h"
#include "push/signature.h"

static void
fail(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute a signature")));
}

pg_hmac_ctx *
signer_begin(void)
{
	pg_hmac_ctx *signer = pg_hmac_create(PG_SHA256);

	if (signer == NULL)
		fail();
	return signer;
}

void
signer_end(pg_hmac_ctx *signer)
{
	pg_hmac_free(signer);
}

/* Computes the HMAC of head and body; false: it failed. */
static bool
authenticate(pg_hmac_ctx *signer, const uint8 *secret, size_t len, const char *head,
			 const bytea *body, uint8 mac[PG_SHA256_DIGEST_LENGTH])
{
	if (pg_hmac_init(signer, secret, len) < 0 ||
		pg_hmac_update(signer, (const uint8 *) head, strlen(head)) < 0)
		return false;
	if (body != NULL && pg_hmac_update(signer, (const uint8 *) VARDATA_ANY(body),
									   VARSIZE_ANY_EXHDR(body)) < 0)
		return false;
	return pg_hmac_final(signer, mac, PG_SHA256_DIGEST_LENGTH) >= 0;
}

/* head: everything before the body. */
static char *
sign(pg_hmac_ctx *signer, const uint8 *secret, size_t len, const char *head, const bytea *body)
{
	uint8 mac[PG_SHA256_DIGEST_LENGTH];
	char *text = palloc(TQ_SIGNATURE_LENGTH + 1);

	if (!authenticate(signer, secret, len, head, body, mac))
		fail();
	tq_signature_write(mac, text);
	return text;
}

char *
signature_make(pg_hmac_ctx *signer, const bytea *secret, const char *id, int64 unix_time,
			   const bytea *body)
{
	char *head = psprintf("%s." INT64_FORMAT ".", id, unix_time);

	return sign(signer, (const uint8 *) VARDATA_ANY(secret), VARSIZE_ANY_EXHDR(secret), head, body);
}

/* Raises TQ004 if the secret is not valid; the error does not show it. */
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

/* Whether the timestamp, Unix seconds as digits, differs from now by at most the tolerance. */
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
	int64 tolerance_us = arg_interval_us(fcinfo, 3, "tolerance", 0, RANGE_DELAY);
	uint8 secret[TQ_SECRET_MAX];
	size_t secret_len;
	Jsonb *headers;
	char *id = NULL;
	char *timestamp = NULL;
	char *signatures = NULL;
	pg_hmac_ctx *signer;
	char *expected;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_TASKQ_INVALID_ARGUMENT),
				 errmsg("secret must not be NULL"),
				 errdetail("A signature cannot be verified without the secret."),
				 errhint("Pass the secret with which the sender signs.")));
	secret_len = read_secret(PG_GETARG_TEXT_PP(0), secret);
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	headers = PG_GETARG_JSONB_P(1);
	if (!JB_ROOT_IS_OBJECT(headers))
		PG_RETURN_BOOL(false);
	(void) headers_find(headers, "webhook-id", &id);
	(void) headers_find(headers, "webhook-timestamp", &timestamp);
	(void) headers_find(headers, "webhook-signature", &signatures);
	/* With a dot in the id, different parts could have the same signature. */
	if (id == NULL || strchr(id, '.') != NULL || timestamp == NULL || signatures == NULL ||
		!is_near(timestamp, tolerance_us))
		PG_RETURN_BOOL(false);
	signer = signer_begin();
	expected = sign(signer, secret, secret_len, psprintf("%s.%s.", id, timestamp),
					PG_ARGISNULL(2) ? NULL : PG_GETARG_BYTEA_PP(2));
	signer_end(signer);
	PG_RETURN_BOOL(tq_signature_is_among(signatures, expected));
}
