/*
 * flow.c
 *		Shared memory of flow control: a block for each queue, and cells for groups and lines.
 *
 * A block is found without a lock, by its tag.  Sessions use it without holding anything, so it
 * belongs to its queue until no transaction can know the queue any more: see flow_forget().
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "base/database.h"
#include "base/settings.h"
#include "hints/flow.h"
#include "tables/queue.h"

#define NBLOCKS 4096
#define PROBES  32 /* blocks among which a queue's may stand */
#define NCACHED 64 /* blocks that a session remembers */

#define RUNNING_BITS  26
#define INFLIGHT_BITS 22
#define RUNNING_MASK  ((UINT64CONST(1) << RUNNING_BITS) - 1)
#define INFLIGHT_MASK ((UINT64CONST(1) << INFLIGHT_BITS) - 1)
#define VERSION_SHIFT (RUNNING_BITS + INFLIGHT_BITS)

typedef struct FlowShared
{
	LWLock making; /* of the session that takes a block */
	slock_t cells_lock;
	uint32 free_cell; /* the first one */
	uint32 fresh;     /* cells from this one on were never used */
	FlowQueue blocks[NBLOCKS];
	Cell cells[FLEXIBLE_ARRAY_MEMBER]; /* the first one is not used */
} FlowShared;

static FlowShared *shared = NULL;

static uint32
ncells(void)
{
	return setting_group_memory * UINT64CONST(1024) / sizeof(Cell);
}

static Size
shared_size(void)
{
	return add_size(offsetof(FlowShared, cells), mul_size(ncells(), sizeof(Cell)));
}

static void
attach(void *memory, bool found, int tranche)
{
	shared = memory;
	if (found)
		return;
	memset(shared, 0, offsetof(FlowShared, cells));
	LWLockInitialize(&shared->making, tranche);
	SpinLockInit(&shared->cells_lock);
	shared->fresh = 1;
	for (int i = 0; i < NBLOCKS; i++)
		LWLockInitialize(&shared->blocks[i].lock, tranche);
}

int
flow_count(void)
{
	return shared != NULL ? NBLOCKS : 0;
}

FlowQueue *
flow_at(int n)
{
	return &shared->blocks[n];
}

void
flow_lock(FlowQueue *q)
{
	LWLockAcquire(&q->lock, LW_EXCLUSIVE);
}

void
flow_unlock(FlowQueue *q)
{
	LWLockRelease(&q->lock);
}

/* ---- words -------------------------------------------------------------------------- */

static int32
running_of(uint64 word)
{
	return (int32) (word & RUNNING_MASK);
}

int32
flow_inflight_of(uint64 word)
{
	return (int32) (word >> RUNNING_BITS & INFLIGHT_MASK);
}

static uint64
next_word(uint64 word, int32 running, int32 inflight)
{
	uint64 version = (word >> VERSION_SHIFT) + 1;

	/* A count that was too low must not become a very high one. */
	return (uint64) Max(running, 0) | (uint64) Max(inflight, 0) << RUNNING_BITS |
		   version << VERSION_SHIFT;
}

uint64
flow_word(const FlowQueue *q)
{
	return pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &q->word));
}

int32
flow_running(const FlowQueue *q)
{
	return running_of(flow_word(q));
}

/* A number that is practically never that of two queues, and never 0. */
static uint64
tag_of(int32 queue_id)
{
	uint64 key[2] = {(uint64) MyDatabaseId << 32 | queue_generation(), (uint64) queue_id};

	return hash_bytes_extended((const unsigned char *) key, sizeof(key), 0) | 1;
}

bool
flow_add(FlowQueue *q, int32 running, int32 inflight, int32 most)
{
	uint64 word = flow_word(q);

	do
	{
		if (running > 0 && most != NO_LIMIT && running_of(word) + running > most)
			return false;
	} while (!pg_atomic_compare_exchange_u64(
		&q->word, &word,
		next_word(word, running_of(word) + running, flow_inflight_of(word) + inflight)));
	return true;
}

bool
flow_set_running(FlowQueue *q, uint64 word, int32 running)
{
	return pg_atomic_compare_exchange_u64(&q->word, &word,
										  next_word(word, running, flow_inflight_of(word)));
}

/* ---- cells -------------------------------------------------------------------------- */

Cell *
flow_cell(uint32 n)
{
	return &shared->cells[n];
}

uint32
flow_cells(void)
{
	uint32 fresh;

	SpinLockAcquire(&shared->cells_lock);
	fresh = shared->fresh;
	SpinLockRelease(&shared->cells_lock);
	return fresh;
}

uint32
flow_take_cell(FlowQueue *q, CellKind kind)
{
	uint32 n;

	SpinLockAcquire(&shared->cells_lock);
	n = shared->free_cell;
	if (n != 0)
		shared->free_cell = shared->cells[n].head.next;
	else if (shared->fresh < ncells())
		n = shared->fresh++;
	SpinLockRelease(&shared->cells_lock);
	if (n == 0)
		return 0;
	memset(&shared->cells[n], 0, sizeof(Cell));
	shared->cells[n].head.queue = q - shared->blocks;
	pg_write_barrier(); /* a session that looks at all cells reads the kind first */
	shared->cells[n].head.kind = kind;
	return n;
}

void
flow_free_cell(uint32 n)
{
	shared->cells[n].head.kind = CELL_FREE;
	SpinLockAcquire(&shared->cells_lock);
	shared->cells[n].head.next = shared->free_cell;
	shared->free_cell = n;
	SpinLockRelease(&shared->cells_lock);
}

bool
flow_owns(const FlowQueue *q, uint32 n, CellKind kind)
{
	const CellHead *head = &shared->cells[n].head;

	if (head->kind != kind)
		return false;
	pg_read_barrier();
	return head->queue == q - shared->blocks;
}

bool
flow_groups_in_flight(const FlowQueue *q)
{
	uint32 end = flow_cells();

	for (uint32 n = 1; n < end; n++)
	{
		if (flow_owns(q, n, CELL_GROUP) && shared->cells[n].group.inflight != 0)
			return true;
	}
	return false;
}

/* ---- blocks -------------------------------------------------------------------------- */

static void
free_cells_of(FlowQueue *q)
{
	uint32 end = flow_cells();

	for (uint32 n = 1; n < end; n++)
	{
		CellHead *head = &shared->cells[n].head;

		if (head->kind != CELL_FREE && head->queue == q - shared->blocks)
			flow_free_cell(n);
	}
}

/* Of a locked block: all zero but tag, word, limits and lock. */
static void
clear(FlowQueue *q)
{
	if (q->tree != 0)
		free_cells_of(q);
	memset((char *) q + offsetof(FlowQueue, database), 0,
		   sizeof(FlowQueue) - offsetof(FlowQueue, database));
}

static FlowQueue *
block_near(uint64 tag, int n)
{
	return &shared->blocks[(tag + n) % NBLOCKS];
}

static FlowQueue *
find(uint64 tag)
{
	for (int i = 0; i < PROBES; i++)
	{
		FlowQueue *q = block_near(tag, i);

		if (pg_atomic_read_u64(&q->tag) == tag)
			return q;
	}
	return NULL;
}

/* What a session remembers of a queue. */
typedef struct Known
{
	int32 queue_id;
	Oid generation;
	uint64 tag;
	FlowQueue *block;
} Known;

FlowQueue *
flow_find(int32 queue_id)
{
	static Known cached[NCACHED];
	Known *known = &cached[(uint32) queue_id % NCACHED];
	Oid generation = queue_generation();

	if (shared == NULL)
		return NULL;
	if (known->tag == 0 || known->queue_id != queue_id || known->generation != generation)
		*known = (Known){.queue_id = queue_id, .generation = generation, .tag = tag_of(queue_id)};
	if (known->block == NULL || pg_atomic_read_u64(&known->block->tag) != known->tag)
		known->block = find(known->tag);
	return known->block;
}

/* Frees the block; without force only if no open transaction has a note of it. */
static void
free_block(FlowQueue *q, bool force)
{
	flow_lock(q);
	if (force || (flow_inflight_of(flow_word(q)) == 0 && !flow_groups_in_flight(q)))
	{
		pg_atomic_write_u64(&q->tag, 0);
		pg_atomic_write_u64(&q->word, 0);
		clear(q);
	}
	flow_unlock(q);
}

/*
 * NULL: there is none; the caller has the lock "making".  No other transaction uses a block of an
 * extension that was dropped, for all of them lock the table of queues; but this one may have
 * used it and then dropped the extension.
 */
static FlowQueue *
find_free_block(uint64 tag)
{
	for (int i = 0; i < PROBES; i++)
	{
		FlowQueue *q = block_near(tag, i);

		if (q->database == MyDatabaseId && q->generation != queue_generation())
			free_block(q, false);
		if (pg_atomic_read_u64(&q->tag) == 0)
			return q;
	}
	return NULL;
}

FlowQueue *
flow_make(int32 queue_id)
{
	FlowQueue *q = flow_find(queue_id);
	uint64 tag;

	if (q != NULL || shared == NULL)
		return q;
	tag = tag_of(queue_id);
	LWLockAcquire(&shared->making, LW_EXCLUSIVE);
	q = find(tag);
	if (q == NULL && (q = find_free_block(tag)) != NULL)
	{
		flow_lock(q);
		q->database = MyDatabaseId;
		q->generation = queue_generation();
		q->queue_id = queue_id;
		q->max_running = NO_LIMIT;
		q->listed = PG_INT64_MIN;
		q->rate_opens = q->timer = DT_NOEND;
		q->sweeps = flow_sweeps();
		q->uncounted = flow_uncounted();
		flow_unlock(q);
		pg_atomic_write_u64(&q->tag, tag);
	}
	LWLockRelease(&shared->making);
	return q;
}

void
flow_forget(int32 queue_id)
{
	FlowQueue *q;

	if (shared == NULL)
		return;
	LWLockAcquire(&shared->making, LW_EXCLUSIVE);
	q = find(tag_of(queue_id));
	if (q != NULL)
		free_block(q, false);
	LWLockRelease(&shared->making);
}

static void
forget_database(Oid database)
{
	LWLockAcquire(&shared->making, LW_EXCLUSIVE);
	for (int i = 0; i < NBLOCKS; i++)
	{
		if (shared->blocks[i].database == database)
			free_block(&shared->blocks[i], true);
	}
	LWLockRelease(&shared->making);
}

const SharedPart flow_part = {
	.name = "taskq flow",
	.size = shared_size,
	.attach = attach,
	.forget_database = forget_database,
};

/* ---- sweeps -------------------------------------------------------------------------- */

void
flow_sweep(bool uncounted)
{
	TaskqDatabase *db = database_mine();

	if (db == NULL)
		return;
	if (uncounted)
		(void) pg_atomic_fetch_add_u32(&db->uncounted, 1);
	(void) pg_atomic_fetch_add_u32(&db->sweeps, 1);
}

uint32
flow_sweeps(void)
{
	TaskqDatabase *db = database_mine();

	return db != NULL ? pg_atomic_read_u32(&db->sweeps) : 0;
}

uint32
flow_uncounted(void)
{
	TaskqDatabase *db = database_mine();

	return db != NULL ? pg_atomic_read_u32(&db->uncounted) : 0;
}
