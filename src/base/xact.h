/*
 * xact.h
 *		Hooks and notes for the end of a transaction, or of a part of it.
 *
 * A part is the transaction itself or one of its subtransactions (savepoints,
 * exception blocks), which can roll back alone.
 *
 * A kind is a static struct of the file that uses it.  Its hooks, each of which may be NULL,
 * are called at the end of transactions; none except pre_commit may raise an error.  A kind
 * may have notes: a note records an action of a part, for the end of that part.
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
	SubTransactionId part; /* the part that made the note, or its parent after that has ended */
} XactNote;

typedef struct XactKind
{
	/* ---- of the transaction ---- */

	/* The transaction is about to commit; an error is still allowed. */
	void (*pre_commit)(void);

	/* The transaction has ended, and the notes have been told; it still holds its locks. */
	void (*ended)(XactEnd end);

	/*
	 * The transaction has released its locks.  The catalog caches of other processes have
	 * been invalidated, so a process that is woken now sees all of the change.
	 */
	void (*released)(bool committed);

	/* A subtransaction was rolled back. */
	void (*part_rolled_back)(void);

	/* ---- of notes ---- */

	Size note_size; /* 0: this kind has none */

	/* Tell a note: the transaction has committed; the part of the note was rolled back. */
	void (*committed)(const void *note);
	void (*rolled_back)(const void *note);

	/* The transaction was prepared; another session will end it. */
	void (*prepared)(const void *note);

	/* The notes of this kind are told after those of all kinds without "last". */
	bool last;

	/*
	 * A subtransaction has committed, and this note now belongs to its parent.  True: the hook
	 * has merged it into one of the first count notes of the kind, so it need not be kept.
	 */
	bool (*absorbed)(const void *note, int count);

	/* ---- private to xact.c ---- */

	bool registered;
	struct XactKind *next;
	char *notes;
	int count;
	int room;
} XactKind;

/* Registers the kind: its hooks are called from now on in this session.  May be repeated. */
extern void xact_register(XactKind *kind);

/* Registers the kind, and allocates room, so that making the next count notes cannot fail. */
extern void xact_reserve(XactKind *kind, int count);

/* Makes a note of the current part, all zero except its part; registers the kind if necessary. */
extern void *xact_note(XactKind *kind);

/* The notes of the current transaction, oldest first; those of the current part are the last. */
extern int xact_count(const XactKind *kind);
extern void *xact_note_at(const XactKind *kind, int n);

/* Forgets a note of the current part; the last note moves into its place. */
extern void xact_forget_note(XactKind *kind, int n);

#endif
