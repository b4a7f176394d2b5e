/*
 * rejected.h
 *		What the gateway has refused by itself, without asking the database: counted by reason.
 */
#ifndef CLI_SERVE_REJECTED_H
#define CLI_SERVE_REJECTED_H

typedef enum rejection
{
	REJECTED_MALFORMED, /* no valid request of HTTP */
	REJECTED_TOO_LARGE,
	REJECTED_TOO_SLOW, /* its connection was closed */
	REJECTED_TOKEN,    /* none, a wrong one, or one that has expired */
	REJECTED_GUESSING, /* too many wrong tokens came from its address */
	REJECTED_FORGERY,  /* the page of another site may have sent it */
	REJECTED_QUEUED,   /* too many wait for the database */
	REJECTED_WAITING,  /* too many wait for a task or its end */
	REJECTED_STOPPING,
	REJECTED_N
} rejection;

extern void rejected_count(rejection why);

/* The label of a reason, and how often it was so. */
extern const char *rejected_name(rejection why);
extern unsigned long long rejected_number(rejection why);

#endif
