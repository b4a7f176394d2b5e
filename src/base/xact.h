/*
 * xact.h
 *		What is done at the end of a transaction, or of a part of it.
 *
 * A part is the transaction itself or one of its subtransactions (savepoints,
 * exception blocks): what can be rolled back by itself.
 *
 * A kind is a static struct of its owner.  Its hooks, each of which may be NULL, are
 * called at the end of transactions; none of them may fail, except pre_commit.  It may
 * have notes: what a part has done and what follows from that at its end.
 */
#ifndef TASKQ_XACT_H
#define TASKQ_XACT_H

typedef enum XactEnd
{
	XACT_COMMITTED,
	XACT_ROLLED_BACK,
	XACT_PREPARED /* for COMMIT PREPARED or ROLLBACK PREPARED: its notes are forgotten */
} XactEnd;

/* Begins each note. */
typedef struct XactNote
{
	SubTransactionId part; /* that made it, or into which that part was committed */
} XactNote;

typedef struct XactKind
{
	/* ---- of the transaction ---- */

	/* It is about to commit, and may still fail. */
	void (*pre_commit)(void);

	/* It has ended, and the notes have been told; its locks are still held. */
	void (*ended)(XactEnd end);

	/*
	 * It has released its locks: what other processes have cached of the catalogs is
	 * invalid now, so a process that is told at this moment sees all of the change.
	 */
	void (*released)(bool committed);

	/* A subtransaction was rolled back. */
	void (*part_rolled_back)(void);

	/* ---- of notes ---- */

	Size note_size; /* 0: this kind has none */

	/* The transaction has committed; or the part that has the note was rolled back. */
	void (*committed)(const void *note);
	void (*rolled_back)(const void *note);

	/*
	 * A subtransaction was committed into its parent, whose note this is now.  True: one
	 * of the first count notes of the kind has taken it in, so that it need not be kept.
	 */
	bool (*absorbed)(const void *note, int count);

	/* ---- private to xact.c ---- */

	bool registered;
	struct XactKind *next;
	char *notes;
	int count;
	int room;
} XactKind;

/* Has the kind's hooks called from now on, in this session.  May be repeated. */
extern void xact_register(XactKind *kind);

/* Registers the kind, and makes room so that the next count notes are made without fail. */
extern void xact_reserve(XactKind *kind, int count);

/* A new note of the current part, all zero but its part; registers the kind if need be. */
extern void *xact_note(XactKind *kind);

/* The notes of the current transaction, the oldest first: those of the current part are last. */
extern int xact_count(const XactKind *kind);
extern void *xact_note_at(const XactKind *kind, int n);

#endif
