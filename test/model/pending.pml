/*
 * pending.pml
 *		How a pending task is held and taken, in pending.c, for spin: see run.sh.
 *
 * One task.  What PostgreSQL does at once is one atomic step: a look that shows
 * what others are about to do, a row that comes or goes, a commit.  Between two
 * such steps anything may happen.
 *
 * take() says that nobody gets a task that somebody has, or that has ended.
 * -DVARIANT leaves a part of the protocol out; each has its line in
 * mutations.txt, too.
 */

/* The task's row as committed, and who is about to delete it. */
bool row = true;
byte row_deleter = 0;

/* The same of its lease, and who is about to insert it. */
byte lease = 0;
byte lease_inserter = 0;
byte lease_deleter = 0;

/* lock_task() */
bool lock = false;

/* How many have the task; for the assertion only. */
byte claims = 0;

inline lock_task()
{
#ifdef NO_LOCK
	skip
#else
	atomic { !lock -> lock = true }
#endif
}

/* pending_let_go() */
inline let_go()
{
	lock = false
}

/* row_look() of the lease */
inline look_at_lease()
{
	free = (lease == 0 && lease_inserter == 0)
}

/* row_look(), row_at() */
inline look_at_row()
{
	there = (row && row_deleter == 0)
}

/* pending_hold(), look_under_lock(): mine says whether the task is to be had. */
inline hold()
{
	lock_task();
#ifdef NO_RECHECK
	free = true;
	look_at_row();
#elif defined(ROW_FIRST)
	look_at_row();
	look_at_lease();
#else
	look_at_lease();
	look_at_row();
#endif
	mine = (free && there)
}

inline take()
{
	assert(claims == 0 && row && row_deleter == 0);
	claims++
}

/* claim_held(); then the attempt ends: lease_take(), and delete_task() or make_pending() */
proctype worker(byte id)
{
	bool free, there, mine;

	hold();
	if
	:: !mine -> let_go()
	:: else ->
		atomic { take(); lease_inserter = id };
		let_go();
		if
		:: atomic { lease_inserter = 0; claims-- } /* rollback */
		:: atomic { lease = id; lease_inserter = 0 }; /* commit */
			lease_deleter = id;
			if
			:: atomic { lease = 0; lease_deleter = 0; claims-- } /* given back */
			:: row_deleter = id;
				if
				:: atomic { row = false; row_deleter = 0; lease = 0; lease_deleter = 0; claims-- } /* finished */
				:: atomic { row_deleter = 0; lease_deleter = 0 } /* rollback: it has the task still */
				fi
			fi
		fi
	fi
}

/* pending_take(): cancel(), replace, purge_queue() */
proctype canceller(byte id)
{
	bool free, there, mine;

	hold();
	if
	:: !mine -> let_go()
	:: else ->
		/* pending_delete() */
		atomic { take(); row_deleter = id };
		let_go();
		if
		:: atomic { row_deleter = 0; claims-- } /* rollback */
		:: atomic { row = false; row_deleter = 0; claims-- } /* commit */
		fi
	fi
}

init
{
	atomic {
		run worker(1);
		run worker(2);
		run worker(3);
		run canceller(4)
	}
}
