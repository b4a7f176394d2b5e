/*
 * lanes.pml
 *		The lane protocol of dispatch.c, lanes.c and sweep.c, for spin: see run.sh.
 *
 * One queue and one lane of it.  A task row is its number: run_at, id and
 * place in the index at once, so row 1 is acquired before row 2 and is late
 * where 2 has been read already.  What C does under the lock of the slot is one
 * atomic step here, and so is what PostgreSQL does at once: a row becomes
 * visible, an index entry is found.  A claim is one step, too: pending.pml has
 * its parts.  Between two steps each process may act.
 *
 * settle() says what must hold.  When all processes have stopped, each row that
 * is committed and not claimed is unread or a candidate, and an acquirer gets
 * all of them.  claim() asserts that no row is claimed twice.
 *
 * -DSCENARIO chooses the processes, -DVARIANT leaves a part of the protocol
 * out; each variant has its line in mutations.txt, too.
 */

#define ROWS   3
#define NEVER  (ROWS + 1) /* DT_NOEND */

#ifndef HEAP
#define HEAP   2 /* MAX_CANDIDATES */
#endif
#ifndef REFILL
#define REFILL 1
#endif

/* Where a task is: pending, claimed, ended or rolled back. */
mtype = { absent, uncommitted, pending, claimed, gone };

/* taskq_private.task and its index of the order: entries stay when their rows are gone. */
mtype row[ROWS + 1] = absent;
bool entry[ROWS + 1];

/* How many acquirers have claimed it or are about to commit that; for the assertion only. */
byte claims[ROWS + 1];

/* The slot, and its lane. */
byte read = 0;
byte next_due = 0; /* DT_NOBEGIN: all is to be read */
byte told_due = NEVER;
bool scanning = false;
bool lowered = false;
bool version = 0; /* changes when another queue gets the slot, or this queue gets it again */
byte heap[ROWS + 1]; /* how often it is a candidate */
byte count = 0;

bool refill_lock = false;
bool sweep_wanted = false;

/* Row n is due when the clock has come to n. */
byte now = ROWS;
byte running = 0;

#define EARLIEST(a, b) (((a) < (b)) -> (a) : (b))

/* ---- candidates ---------------------------------------------------------------- */

/* heap[0] in C; 0: there is none. */
inline first_candidate(c)
{
	c = 0;
	for (k : 1 .. ROWS) {
		if
		:: c == 0 && heap[k] > 0 -> c = k
		:: else
		fi
	}
}

/* heap_push() */
inline heap_push(c)
{
	heap[c]++;
	count++
}

/* slot_pop() */
inline heap_pop(c)
{
	first_candidate(c);
	if
	:: c > 0 -> heap[c]--; count--
	:: else
	fi
}

/* slot_lower() */
inline lower(c)
{
	read = (c <= read -> c - 1 : read);
	lowered = true;
	next_due = EARLIEST(next_due, c);
	told_due = EARLIEST(told_due, c)
}

/* slot_push(), and overflow() where there is no room */
inline push(c)
{
	if
	:: count < HEAP -> heap_push(c)
	:: else ->
		for (k : 1 .. ROWS) {
			if
			:: heap[k] > 0 ->
#ifndef NO_LOWER
				lower(k);
#endif
				heap[k] = 0
			:: else
			fi
		}
		count = 0;
		lower(c)
	fi
}

/* offer_one(), where t is the time */
inline offer_one(c, t)
{
	if
	:: c > t && c <= read -> lower(c)
	:: c > t && c > read ->
		next_due = EARLIEST(next_due, c);
		told_due = EARLIEST(told_due, c)
#ifdef NO_LATE
	:: c <= t && !scanning && c <= read -> skip
	:: c <= t && scanning -> push(c)
#else
	:: c <= t && (scanning || c <= read) -> push(c)
#endif
	:: c <= t && !scanning && c > read && (next_due <= t || count == HEAP) ->
		next_due = EARLIEST(next_due, c)
	:: c <= t && !scanning && c > read && next_due > t && count < HEAP ->
		heap_push(c);
		read = c
	fi
}

/* offer_many(): this row, and others of the lane behind it */
inline offer_many(first)
{
	if
	:: scanning || first <= read -> lower(first)
	:: else -> next_due = EARLIEST(next_due, first)
	fi
}

/* slot_offer(): the clock is read before the slot is locked */
inline offer(c, again)
{
	t = now;
	atomic {
		if
		:: again && heap[c] > 0
		:: else -> offer_one(c, t)
		fi;
		t = 0; k = 0
	}
}

/* ---- reading on ------------------------------------------------------------------ */

/* lane_scan_begin(), lane_scan_next(): the first entry behind a position; 0: there is none */
inline next_entry(from, c)
{
	c = 0;
	for (k : 1 .. ROWS) {
		if
		:: c == 0 && k > from && entry[k] -> c = k
		:: else
		fi
	}
}

/* refill(), under the refill lock of the slot; found[] is Refill.found, "to" its Position */
inline refill()
{
	/* refill_begin() */
	atomic {
		due = (next_due <= t);
		to = read;
		v = version;
		told_due = NEVER;
#ifndef SCAN_BEFORE_FLAG
		scanning = true;
#endif
		lowered = false
	}
	/* read_lane() */
	unread = NEVER;
	done = false;
	nfound = 0;
	do
	:: due && !done && nfound < REFILL ->
		atomic {
			next_entry(to, c);
			if
			:: c == 0 -> done = true
			:: c > t -> done = true; unread = c
			:: else -> found[c] = true; nfound++; to = c
			fi
		}
	:: else -> break
	od;
#ifdef SCAN_BEFORE_FLAG
	scanning = true;
#endif
	/* refill_end() */
	atomic {
#ifdef NO_VERSION
		v = version;
#endif
		if
		:: v == version ->
			if
			:: due && !lowered ->
				read = to;
				next_due = (done -> EARLIEST(told_due, unread) : next_due)
			:: else
			fi;
			scanning = false
		:: else
		fi;
		for (r : 1 .. ROWS) {
			if
			:: found[r] && v == version -> push(r)
			:: else
			fi;
			found[r] = false
		}
		v = 0; c = 0; to = 0; unread = 0; done = false; due = false; nfound = 0; r = 0; k = 0
	}
}

/* ---- acquirers --------------------------------------------------------------------- */

#define LOCALS \
	byte c, t, k, r, to, unread, nfound; \
	bool due, done, v, found[ROWS + 1]

/* take(): on return c is the candidate, 0 when nothing is due */
inline take()
{
	t = now;
	do
	:: atomic {
			/* pop() */
			heap_pop(c);
			k = 0;
			if
			:: c > 0 || next_due > t -> t = 0; break
			:: else
			fi
		};
		/* LWLockAcquireOrWait(): who has waited looks again */
		if
		:: atomic { !refill_lock -> refill_lock = true };
			refill();
			refill_lock = false
		:: atomic { refill_lock -> skip };
			!refill_lock
		fi
	od
}

/*
 * claim_candidates(), pending_hold().  A candidate whose row is uncommitted or
 * claimed is dropped: who has the task in hand will offer it.
 */
inline claim(c)
{
	atomic {
		if
		:: row[c] == pending ->
			assert(row[c] == pending && claims[c] == 0);
			row[c] = claimed;
			claims[c]++;
			mine = true
		:: else -> mine = false
		fi
	}
}

proctype acquirer()
{
	LOCALS;
	bool mine;

	do
	:: break
	:: take();
		if
		:: c == 0
		:: else ->
			claim(c);
			if
			:: mine -> /* commit */
				row[c] = gone
			:: atomic { mine -> row[c] = pending; claims[c]-- }; /* rollback, or to a savepoint */
				/* transaction_ended(), subtransaction_ended() */
#ifndef NO_GIVE_BACK
				offer(c, true)
#endif
			:: !mine /* commit: nothing is offered */
			:: !mine -> /* rollback: it is offered, whosever it is */
				offer(c, true)
#ifdef PREPARED
			:: atomic { mine -> row[c] = pending; claims[c]-- }; /* ROLLBACK PREPARED */
				sweep_wanted = true /* wakeup_sweep() */
#endif
			fi
		fi;
		atomic { c = 0; mine = false }
	od;
	running--
}

/* dispatch_look(): wait_ready() wants to know whether one is there, and drops those that are not. */
proctype looker()
{
	LOCALS;
	byte seen;

	do
	:: break
	:: atomic { first_candidate(c); k = 0 };
		if
		:: c == 0 || row[c] == pending
		:: c > 0 && row[c] != pending ->
			/* drop_first() */
			atomic {
				seen = c;
				first_candidate(c);
				if
				:: c == seen -> heap_pop(c)
				:: else -> c = 0
				fi;
				seen = 0;
				k = 0
			};
#ifndef NO_SECOND_LOOK
			/* pending_is_there(): it may have been offered before it was dropped */
			if
			:: c > 0 && row[c] == pending -> offer(c, true)
			:: else
			fi
#endif
		fi;
		c = 0
	od;
	running--
}

/* ---- submitters ---------------------------------------------------------------------- */

/* pending_insert(), and the end of the transaction */
proctype submitter(byte id)
{
	byte t, k;

	atomic { row[id] = uncommitted; entry[id] = true };
	if
	:: row[id] = pending; /* commit: visible, and then transaction_ended() */
		offer(id, false)
	:: row[id] = gone /* rollback */
#ifdef PREPARED
	:: row[id] = pending; /* COMMIT PREPARED */
		sweep_wanted = true /* wakeup_sweep() */
#endif
	fi;
	running--
}

/* More rows than are remembered: added_to_many() keeps the first one. */
proctype submitter_of_many()
{
	byte k;

	atomic { row[3] = uncommitted; entry[3] = true };
	atomic { row[1] = uncommitted; entry[1] = true };
	atomic { row[1] = pending; row[3] = pending };
	atomic { offer_many(1) };
	running--
}

/* ---- sweeping --------------------------------------------------------------------------- */

/* sweep_if_wanted(), dispatch_sweep() */
proctype sweeper()
{
	LOCALS;
	byte from;

	do
	:: sweep_wanted ->
		sweep_wanted = false;
		/* sweep_begin() */
		atomic { to = read; from = 0; unread = NEVER };
		/* sweep_entries() */
		do
		:: atomic {
				next_entry(from, c);
				k = 0;
				if
				:: c == 0 -> break
				:: c > to -> unread = c; break
				:: else -> from = c
				fi
			};
			/* pending_is_there() */
			found[c] = (row[c] == pending)
		od;
		/* sweep_end(), drop_known() */
		atomic {
			if
			:: unread != NEVER ->
#ifdef SWEEP_IN_PASSING
				next_due = EARLIEST(next_due, unread)
#else
				lower(unread) /* the position may have passed it meanwhile */
#endif
			:: else
			fi;
			for (r : 1 .. ROWS) {
				if
				:: found[r] && heap[r] == 0 ->
#ifndef NO_SWEEP
					push(r)
#endif
				:: else
				fi;
				found[r] = false
			}
			c = 0; r = 0; k = 0; to = 0; from = 0; unread = 0
		}
	:: atomic { running == 1 && !sweep_wanted -> running--; break }
	od
}

/* ---- forgetting -------------------------------------------------------------------------- */

/* slot_forget(): the slot is evicted, or an administrator rewrites the table */
proctype forgetter()
{
	byte k;

	atomic {
		version = !version;
		scanning = false;
		lowered = false;
		for (k : 1 .. ROWS) {
			heap[k] = 0
		}
		count = 0;
		read = 0;
		next_due = 0;
		told_due = NEVER;
		k = 0
	};
	running--
}

/* ---- the end ------------------------------------------------------------------------------- */

proctype clock()
{
	now = ROWS;
	running--
}

/* Everything has stopped; all is due. */
inline settle()
{
	atomic {
		now = ROWS;
		for (i : 1 .. ROWS) {
			assert(row[i] == absent || row[i] == pending || row[i] == gone);
			assert(row[i] != pending || heap[i] > 0 || (i > read && next_due <= i))
		}
	}
	do
	:: take();
		if
		:: c == 0 -> break
		:: else -> claim(c)
		fi
	od;
	atomic {
		for (i : 1 .. ROWS) {
			assert(row[i] != pending)
		}
	}
}

init
{
	LOCALS;
	byte i;
	bool mine;

	atomic {
#if defined(PREPARED)
		running = 4;
		run submitter(1);
		run submitter(2);
		run acquirer();
		run sweeper()
#elif defined(MANY)
		running = 4;
		run submitter_of_many();
		run submitter(2);
		run acquirer();
		run acquirer()
#elif defined(LOOK)
		running = 4;
		run submitter(1);
		run submitter(2);
		run acquirer();
		run looker()
#elif defined(FORGET)
		running = 4;
		row[3] = pending;
		entry[3] = true;
		run submitter(1);
		run acquirer();
		run acquirer();
		run forgetter()
#elif defined(DELAYED)
		running = 5;
		now = ROWS - 1;
		run submitter(2);
		run submitter(3);
		run acquirer();
		run acquirer();
		run clock()
#else
		running = 4;
		row[3] = pending;
		entry[3] = true;
		run submitter(1);
		run submitter(2);
		run acquirer();
		run acquirer()
#endif
	};
	running == 0;
	settle()
}
