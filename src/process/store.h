/*
 * store.h
 *		The delivery engine's store in the server.
 */
#ifndef TASKQ_STORE_H
#define TASKQ_STORE_H

struct tq_store;
extern const struct tq_store store_spi;

#endif
