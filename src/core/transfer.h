/*
 * transfer.h
 *		One exchange on one curl handle: options in, recordings out.  Private to core.
 */
#ifndef TQ_TRANSFER_H
#define TQ_TRANSFER_H

#include "core/exchange.h"

/*
 * Sets up the exchange's handle, which is fresh or reset, for all its requests.  ca_file: NULL for
 * the system's authorities.  False: out of memory.
 */
extern bool tq_transfer_setup(tq_exchange *x, const char *ca_file);

/* Tells the handle the request.  http2: may be spoken.  False: out of memory. */
extern bool tq_transfer_load(tq_exchange *x, bool http2);

/*
 * Directs the handle to the address of the exchange's link, by its connection if it has one, with
 * left_ms for all that follows.  False: out of memory.
 */
extern bool tq_transfer_aim(tq_exchange *x, int64_t left_ms);

/* Whether curl's result means that no connection to this address was made at all. */
extern bool tq_transfer_unreached(const tq_exchange *x, CURLcode code);

/*
 * Prepares the handle for the same request and address on a connection of its own by HTTP/1.1, if
 * curl's result means that the one that was kept open ended before the answer began, or that the
 * request was refused unread, and the request may be sent once more.  False: it is not.
 */
extern bool tq_transfer_again(tq_exchange *x, CURLcode code);

/*
 * The bytes that have come on the exchange's connection, this answer among them; -1: not known.
 * The handle must not be with curl.
 */
extern int64_t tq_transfer_received(const tq_exchange *x);

/*
 * Which shortage of this machine kept the request from being begun, as an error number; 0: none.
 * See shortage.h.
 */
extern int tq_transfer_shortage(const tq_exchange *x, CURLcode code);

/* The status of the answer that has begun, unless it is an interim one; 0: none. */
extern int tq_transfer_status(const tq_exchange *x);

/* Fills in class, status and error of the response, by curl's result and the recordings. */
extern void tq_transfer_conclude(tq_exchange *x, CURLcode code, bool time_is_up);

#endif
