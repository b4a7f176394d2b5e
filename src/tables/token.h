/*
 * token.h
 *		Tokens: numbers that prove the ownership of an attempt.
 */
#ifndef TASKQ_TOKEN_H
#define TASKQ_TOKEN_H

/*
 * A number that was never given out before: not before a crash or a promotion, and not in a
 * database of which this one is a copy.  Below 2^53.
 */
extern int64 token_next(void);

#endif
