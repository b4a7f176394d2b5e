/*
 * exchange.h
 *		One request on its way to its answer.  Private to core.
 *
 * http.c decides when an exchange runs, exchange.c makes and frees what it consists
 * of, transfer.c sets curl's options and turns curl's results into a response.
 *
 * An exchange that has ended is begun again for another request: its curl handle is set up and has
 * its callbacks, so that only what differs between requests has to be told to curl.
 */
#ifndef TQ_EXCHANGE_H
#define TQ_EXCHANGE_H

#include <curl/curl.h>

#include "core/buffer.h"
#include "core/egress.h"
#include "core/request.h"
#include "core/resolve.h"
#include "core/response.h"
#include "core/urls.h"

typedef enum tq_phase
{
	TQ_PHASE_RESOLVING, /* then READY or FINISHED; lookup is valid */
	TQ_PHASE_READY,     /* then RUNNING or FINISHED */
	TQ_PHASE_RUNNING,   /* then READY (next address) or FINISHED; easy is in the multi handle */
	TQ_PHASE_FINISHED
} tq_phase;

typedef struct tq_exchange
{
	/* http.c's */
	struct tq_exchange *prev;
	struct tq_exchange *next;
	struct tq_http *http;
	tq_phase phase;
	void *lookup; /* may be NULL while RESOLVING: answer is being recorded */
	int next_address;
	int64_t raw_from; /* bytes received when they were counted first; -1: not yet */
	int64_t submitted_us;
	int64_t deadline_us;

	/* the request: what is pointed to is the caller's, but for url and copied */
	const tq_url *url; /* of http.c's tq_urls; NULL before it was parsed */
	const char *method;
	const void *body; /* NULL: none */
	size_t body_len;
	struct curl_slist *copied; /* lines that curl needs in another form; owned */
	bool tls;
	bool http2; /* may be spoken */
	tq_http_limits limits;
	const tq_egress *egress;

	/* the transfer */
	bool loaded;          /* easy has the request */
	struct tq_link *link; /* its connection; NULL while easy is not with curl */

	/* what the callbacks have recorded */
	bool connected;     /* curl wants to read, which it does not while it connects */
	bool opened;        /* a connection was made for it, and the request not yet begun on it */
	bool started;       /* a connection stands and the request was begun on it */
	bool reused;        /* that connection was open before; valid while started */
	bool resent;        /* it is begun for the second time */
	bool restarted;     /* curl wanted to begin it again, and was not let */
	const char *denied; /* egress rule that stopped it */
	int shortage;       /* error number: what the machine lacked; 0: nothing */
	const char *wrong;  /* with the answer, which is no HTTP; NULL: nothing */
	bool out_of_memory;
	bool too_large;
	int status;     /* of the status line seen last; 0: none */
	bool head_done; /* final header is complete */
	size_t head_bytes;
	tq_buffer head;
	tq_buffer content;

	tq_response *response; /* made at the start, so that nothing can fail at the end */

	/* From here on: kept for the next request, see tq_exchange_begin(). */
	CURL *easy;                     /* NULL before the first transfer */
	int options;                    /* of http.c, with which easy was set up; 0: it is not set up */
	char custom[TQ_MAX_METHOD + 1]; /* the method that easy has */
	struct curl_slist *lines;       /* nodes of the list of headers: room for so many */
	int max_lines;
	char curl_error[CURL_ERROR_SIZE];
	tq_addresses addresses;
} tq_exchange;

/*
 * Begins an exchange without a request; egress must outlive it.  kept: one that was ended, or NULL
 * for a new one.  NULL: out of memory, and kept stays as it was.
 */
extern tq_exchange *tq_exchange_begin(tq_exchange *kept, const tq_http_limits *limits,
									  const tq_egress *egress, void *tag);

/*
 * Takes over the request.  NULL, or why it cannot be sent: tq_out_of_memory, or a static text that
 * says what is wrong with the request.  Afterwards x is ended in the same ways.
 */
extern const char *tq_exchange_prepare(tq_exchange *x, tq_urls *urls, const tq_request *request);

/*
 * The value of the first header of that name in the answer, which the caller frees; NULL: there is
 * none, or no memory.
 */
extern char *tq_exchange_find_header(const tq_exchange *x, const char *name);

/* Ends the exchange, which may be begun again or freed, and returns its response, complete. */
extern tq_response *tq_exchange_end(tq_exchange *x);

/* Frees an exchange, ended or not, with its response and its curl handle. */
extern void tq_exchange_free(tq_exchange *x);

#endif
