/*
 * signature.h
 *		Texts of Standard Webhooks: secrets and signatures, pure functions.
 *
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 *
 * The caller computes the HMAC with SHA-256: the server has a function for it.
 */
#ifndef TQ_SIGNATURE_H
#define TQ_SIGNATURE_H

#include <stdbool.h>
#include <stddef.h>

#define TQ_SECRET_PREFIX    "whsec_"
#define TQ_SECRET_MIN       24 /* bytes */
#define TQ_SECRET_MAX       64
#define TQ_SIGNATURE_BYTES  32
#define TQ_SIGNATURE_LENGTH (3 + 44) /* "v1," and base64 */

/*
 * Reads a secret: base64, with the prefix or without.  NULL, or a static text that says what is
 * wrong, without any part of the secret; then secret and *len are undefined.
 */
extern const char *tq_secret_read(const char *text, unsigned char secret[TQ_SECRET_MAX],
								  size_t *len);

/* Writes a signature as the header has it: "v1," and the base64 of the HMAC. */
extern void tq_signature_write(const unsigned char mac[TQ_SIGNATURE_BYTES],
							   char text[TQ_SIGNATURE_LENGTH + 1]);

/*
 * Whether signature is among the signatures, separated by blanks, in a header's value.  The time
 * it takes does not tell how much of a signature is right.
 */
extern bool tq_signature_is_among(const char *value, const char *signature);

#endif
