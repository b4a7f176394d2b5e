/*
 * lanes.h
 *		The routes of a worker at work: each has a runner and a breaker of its own.
 *
 * With one route an open breaker stops claims.  Claims cannot choose kinds; so with several routes
 * the tasks of a route that is broken are given back, and the other routes go on.
 */
#ifndef CLI_LANES_H
#define CLI_LANES_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/breaker.h"
#include "cli/routes.h"
#include "cli/runner.h"

typedef struct cli_lane
{
	const cli_route *route;
	cli_runner runner;
	cli_breaker breaker;
} cli_lane;

typedef struct cli_lanes
{
	cli_jobs *jobs;
	cli_lane *lanes;
	int n;
} cli_lanes;

/* breaker: failures in a row; 0: never.  False: out of memory. */
extern bool cli_lanes_init(cli_lanes *l, const cli_routes *routes, int breaker, cli_jobs *jobs);

/* Each does with all runners what the function of runner.h does. */
extern void cli_lanes_step(cli_lanes *l);
extern void cli_lanes_renew(cli_lanes *l);
extern void cli_lanes_stop(cli_lanes *l);
extern int cli_lanes_npoll(const cli_lanes *l);
extern int cli_lanes_poll(const cli_lanes *l, struct pollfd *fds);
extern int64_t cli_lanes_due_ms(const cli_lanes *l);
extern void cli_lanes_free(cli_lanes *l);
extern void cli_lanes_stop_job(cli_lanes *l, cli_job *job, cli_reason reason);

/* Ends jobs of a route that is broken, so that they are given back; starts those that are ready. */
extern void cli_lanes_give_back(cli_lanes *l);
extern void cli_lanes_start(cli_lanes *l);

extern int cli_lanes_nprocesses(const cli_lanes *l);

/* Tells the breaker of its route how the command of a job has ended. */
extern void cli_lanes_judge(cli_lanes *l, const cli_job *job);

/* How many tasks may be claimed: wanted, one, or none. */
extern int cli_lanes_allow(const cli_lanes *l, int wanted);

/* Whether the breaker lets single tasks through, so that one claim at a time is made. */
extern bool cli_lanes_try_one(const cli_lanes *l);

#endif
