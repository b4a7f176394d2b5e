/*
 * transfer.h
 *		One exchange on one curl handle: options in, recordings out.  Private to core.
 */
#ifndef TQ_TRANSFER_H
#define TQ_TRANSFER_H

#include "core/exchange.h"

/* Sets up a fresh or reset handle; ca_file may be NULL.  False: out of memory. */
extern bool tq_transfer_setup(tq_exchange *x, CURL *easy, const char *ca_file, bool http2);

/* Directs the handle to an address, with left_ms for all that follows.  False: out of memory. */
extern bool tq_transfer_aim(tq_exchange *x, const struct sockaddr *addr, int64_t left_ms);

/* Whether curl's result means that no connection to this address was made at all. */
extern bool tq_transfer_unreached(const tq_exchange *x, CURLcode code);

/* Fills in class, status and error of the response, by curl's result and the recordings. */
extern void tq_transfer_conclude(tq_exchange *x, CURLcode code, bool time_is_up);

#endif
