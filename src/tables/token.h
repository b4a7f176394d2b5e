/*
 * token.h
 *		The numbers that prove the ownership of an attempt.
 */
#ifndef TASKQ_TOKEN_H
#define TASKQ_TOKEN_H

/* A number that was never given out before, crashes and promotions included. */
extern int64 token_next(void);

#endif
