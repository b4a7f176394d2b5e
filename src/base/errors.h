/*
 * errors.h
 *		SQLSTATEs of class TQ, and the roles that the C code names.
 *
 * The comment of each SQL function lists those that it raises.
 */
#ifndef TASKQ_ERRORS_H
#define TASKQ_ERRORS_H

#include "utils/elog.h"

#define ERRCODE_TASKQ_UNKNOWN_QUEUE    MAKE_SQLSTATE('T', 'Q', '0', '0', '1')
#define ERRCODE_TASKQ_QUEUE_EXISTS     MAKE_SQLSTATE('T', 'Q', '0', '0', '2')
#define ERRCODE_TASKQ_DUPLICATE_KEY    MAKE_SQLSTATE('T', 'Q', '0', '0', '3')
#define ERRCODE_TASKQ_INVALID_ARGUMENT MAKE_SQLSTATE('T', 'Q', '0', '0', '4')
#define ERRCODE_TASKQ_WRONG_MODE       MAKE_SQLSTATE('T', 'Q', '0', '0', '5')
#define ERRCODE_TASKQ_TOO_LARGE        MAKE_SQLSTATE('T', 'Q', '0', '0', '6')
#define ERRCODE_TASKQ_NOT_PERMITTED    MAKE_SQLSTATE('T', 'Q', '0', '0', '7')
#define ERRCODE_TASKQ_EGRESS_DENIED    MAKE_SQLSTATE('T', 'Q', '0', '0', '8')
#define ERRCODE_TASKQ_NOT_POSSIBLE     MAKE_SQLSTATE('T', 'Q', '0', '0', '9')
#define ERRCODE_TASKQ_UNKNOWN_SCHEDULE MAKE_SQLSTATE('T', 'Q', '0', '1', '0')
#define ERRCODE_TASKQ_EVENTS_GONE      MAKE_SQLSTATE('T', 'Q', '0', '1', '1')

/* Raised by a function that a task calls: it is not to be tried again. */
#define ERRCODE_TASKQ_DO_NOT_RETRY MAKE_SQLSTATE('T', 'Q', '0', '1', '2')

#define TASKQ_BGW_ROLE   "taskq_bgw"   /* of the executor */
#define TASKQ_OWNER_ROLE "taskq_owner" /* owns all objects of the extension */

#endif
