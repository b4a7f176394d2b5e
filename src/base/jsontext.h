/*
 * jsontext.h
 *		How long a jsonb is as text, without writing it.
 */
#ifndef TASKQ_JSONTEXT_H
#define TASKQ_JSONTEXT_H

/* Bytes of a text that the server can still give to a client, and a dump can hold. */
#define TASKQ_MAX_TEXT (512 * 1024 * 1024)

/*
 * Whether the text of the jsonb has more than max bytes.  *size becomes its length in this
 * database's encoding, or, if it has not more, a bound of it that is not above max.
 */
extern bool jsonb_text_exceeds(Datum jsonb, Size max, Size *size);

#endif
