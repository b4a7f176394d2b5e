/*
 * durability.h
 *		Which commits need not wait for the disk.
 *
 * What is written between the two calls may be lost in a crash.  A transaction that
 * writes nothing else commits asynchronously.
 */
#ifndef TASKQ_DURABILITY_H
#define TASKQ_DURABILITY_H

extern void durability_begin_weak(void);
extern void durability_end_weak(void);

#endif
