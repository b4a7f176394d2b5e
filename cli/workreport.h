/*
 * workreport.h
 *		Reports the outcomes of jobs.
 */
#ifndef CLI_WORKREPORT_H
#define CLI_WORKREPORT_H

#include "cli/workdb.h"

/* Adds what is due to the batch, as far as there is room. */
extern void cli_workreport_add(cli_workdb *db);

#endif
