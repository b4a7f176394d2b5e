/*
 * groups.pml
 *		The permits and the line of one group, for spin: groups.c, permits.c and running.c; see run.sh.
 *
 * A task is its number: its order, and its place in the index.  What C does under
 * the lock of the queue's block is one atomic step, and so is what PostgreSQL does
 * at once: a transaction commits, and its rows become visible or dead.  Between
 * this and the hooks of base/xact.c each process may act.  The number of a
 * group's leases and that of a queue (flow.c) follow the same rules.
 *
 * What must hold: there are never more than LIMIT leases that may exist.  When all
 * processes have stopped, what is pending can be claimed.  With ORDERED no task is
 * claimed while an earlier one is pending whose commit had returned when the claimer
 * began to look.
 *
 * -DTASKS, -DLIMIT, -DLOOKS: sizes; each of two claimers looks LOOKS times.
 * -DRECOUNT: a session counts the leases, as running.c does.  -DSILENT: an attempt may
 * end without a hook, as that of a prepared transaction does.  Each variant leaves a part
 * of the protocol out: -DNO_CHECK: a claimer moves the line's place although something was
 * offered since it began.  -DNO_INFLIGHT: leases are counted while transactions are
 * between commit and hook.  -DSPLIT: the permit comes back before the task is offered.
 */
#ifndef TASKS
#define TASKS 2
#endif
#ifndef LIMIT
#define LIMIT 1
#endif
#ifndef LOOKS
#define LOOKS 2
#endif

mtype = { absent, uncommitted, pending, claimed, held, ending, gone };
mtype row[TASKS + 1] = absent;
bool entry[TASKS + 1];	/* in the index */
bool lease[TASKS + 1];	/* a lease that may exist */
bool told[TASKS + 1];	/* its offer has been made */
byte possible = 0;	/* leases that may exist; for the assertion only */

/* The group: see flow.h. */
byte running = 0;
byte inflight = 0;
byte version = 0;

/* Its line. */
byte after = 0;
bool due = false;
byte offers = 0;
bool ready = false;

/* Processes that have not stopped. */
byte alive = 0;

/* place_line() */
inline place() { ready = (due && running < LIMIT) }

/* groups_offer() */
inline offer(t)
{
	if :: t <= after -> after = t - 1 :: else fi;
	due = true;
	told[t] = true;
	offers = (offers + 1) % 8;
	place()
}

inline take_permit() { running++; version = (version + 1) % 16 }
inline give_permit() { running--; version = (version + 1) % 16 }

/* A transaction that submits a task. */
proctype Submitter(byte t)
{
	atomic { row[t] = uncommitted; entry[t] = true }
	if
	:: atomic { row[t] = pending };
	   atomic { offer(t) }
	:: atomic { row[t] = gone }
	fi;
	alive--
}

/* groups_begin(), line_claim(), groups_end() and the end of the transaction */
proctype Claimer()
{
	byte n = 0, t, mine, v, u;
	bool was[TASKS + 1];

	do
	:: n < LOOKS ->
		n++;
		v = 0;
		atomic {
			if
			:: ready ->
				v = 1;
				take_permit(); inflight++;
				mine = offers; t = after;
				place();
#ifdef ORDERED
				for (u : 1 .. TASKS) { was[u] = (row[u] == pending && told[u]) }
#endif
			:: else
			fi
		}
		if :: v == 0 -> goto next :: else fi;
		do
		:: t < TASKS ->
			t++;
			atomic {
				if
				:: entry[t] && row[t] == pending ->
					row[t] = claimed; lease[t] = true; possible++;
					assert(possible <= LIMIT);
#ifdef ORDERED
					for (u : 1 .. TASKS) {
						if :: u < t -> assert(!(was[u] && row[u] == pending)) :: else fi
					}
#endif
					v = 2
				:: else
				fi
			}
			if :: v == 2 -> break :: else fi
		:: else -> break
		od;
		if
		:: v == 2 ->
			atomic {
#ifdef NO_CHECK
				if :: t > after -> after = t :: else fi
#else
				if :: offers == mine && t > after -> after = t :: else fi
#endif
			}
			if
			:: atomic { row[t] = held };	/* commit, and its hook */
			   atomic { inflight-- }
			:: atomic { row[t] = pending; lease[t] = false; possible-- };	/* rollback */
#ifdef SPLIT
			   atomic { inflight--; give_permit(); place() };
			   atomic { offer(t) }
#else
			   atomic { inflight--; give_permit(); offer(t) }
#endif
			fi
		:: else ->	/* nothing was found */
			atomic {
				inflight--; give_permit();
				if :: offers == mine -> due = false; after = t :: else fi;
				place()
			}
		fi;
next:	skip
	:: else -> break
	od;
	alive--
}

/* Ends an attempt: the task is gone, or will be tried again. */
proctype Ender()
{
	byte n = 0, t;

	do
	:: n < 3 ->
		n++;
		t = 0;
		atomic {
			if
			:: row[1] == held -> t = 1; row[1] = ending; inflight++
#if TASKS > 1
			:: row[2] == held -> t = 2; row[2] = ending; inflight++
#endif
#if TASKS > 2
			:: row[3] == held -> t = 3; row[3] = ending; inflight++
#endif
			:: else
			fi
		}
		if
		:: t == 0 -> skip
		:: else ->
			if
			:: atomic { row[t] = held };	/* rolled back */
			   atomic { inflight-- }
			:: atomic { row[t] = gone; lease[t] = false; possible-- };
			   atomic { inflight--; give_permit(); place() }
			:: atomic { row[t] = pending; lease[t] = false; possible-- };	/* to be tried again */
#ifdef SPLIT
			   atomic { inflight--; give_permit(); place() };
			   atomic { offer(t) }
#else
			   atomic { inflight--; give_permit(); offer(t) }
#endif
#ifdef SILENT
			:: atomic { inflight-- };		/* prepared, and committed by another session */
			   atomic { row[t] = gone; lease[t] = false; possible-- }
#endif
			fi
		fi
	:: else -> break
	od;
	alive--
}

/* count() of running.c */
inline recount(v, t, c)
{
#ifdef NO_INFLIGHT
	atomic { v = version };
#else
	atomic { v = 255; if :: inflight == 0 -> v = version :: else fi };
#endif
	if
	:: v == 255 -> skip
	:: else ->
		c = 0; t = 0;
		do
		:: t < TASKS -> t++; atomic { if :: lease[t] -> c++ :: else fi }
		:: else -> break
		od;
		atomic {
#ifdef NO_INFLIGHT
			if :: version == v -> running = c; place() :: else fi
#else
			if :: version == v && inflight == 0 -> running = c; place() :: else fi
#endif
		}
	fi
}

proctype Recounter()
{
	byte v, t, c;

	recount(v, t, c);
	alive--
}

init
{
	byte t, c, v, waiting, nrun;

	atomic {
		for (t : 1 .. TASKS) { alive++; run Submitter(t) }
		alive++; run Claimer();
		alive++; run Claimer();
		alive++; run Ender();
#ifdef RECOUNT
		alive++; run Recounter();
#endif
	}
	(alive == 0);
#ifdef SILENT
	recount(v, t, c);
#endif
	atomic {
		waiting = 0; nrun = 0;
		for (t : 1 .. TASKS) {
			if :: row[t] == pending -> waiting++ :: else fi;
			if :: lease[t] -> nrun++ :: else fi
		}
		assert(inflight == 0);
		assert(running == nrun);
		assert(waiting == 0 || running == LIMIT || ready);
		for (t : 1 .. TASKS) { if :: row[t] == pending -> assert(t > after) :: else fi }
	}
}
