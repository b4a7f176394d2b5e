/*
 * token.pml
 *		The tokens of token.c over crashes and failovers, for spin: see run.sh.
 *
 * A token is a block and a number in the block.  Blocks come from a sequence
 * that is made durable before a number is used; claims commit asynchronously,
 * so a crash may lose the claim and never the block.  What a lost claim's
 * worker knows is remembered here in issued[].
 *
 * A promoted server's counter jumps over all blocks that can have been used
 * before: here each jump has BLOCKS of its own.
 */

#define BLOCKS  3
#define NUMBERS 2 /* 2 to the power of NUMBER_BITS */
#define JUMPS   2
#define CRASHES 2

/* The sequence taskq_private.token_block as the server has it, on its disk, and on the standby. */
byte sequence = 0;
byte on_disk = 0;
byte on_standby = 0;
byte jumps = 0;

/* TaskqDatabase: the block that all sessions share. */
byte block = 0; /* 0: none */
byte number = NUMBERS;

byte starts = 0; /* of the server; a session of an earlier one is gone */
byte issued[JUMPS * (BLOCKS + 1) * NUMBERS];

#ifdef NO_JUMP
#define TOKEN(b, n) ((b) * NUMBERS + (n))
#else
#define TOKEN(b, n) ((jumps * (BLOCKS + 1) + (b)) * NUMBERS + (n))
#endif

#define CRASHED (mine != starts)

/* token_next() */
active [2] proctype session()
{
	byte mine, taken;

	do
	:: atomic { mine = starts; taken = 0 };
		do
		/* take_from_shared(); the claim has the token, whatever becomes of its transaction */
		:: atomic {
				!CRASHED && number < NUMBERS ->
				assert(issued[TOKEN(block, number)] == 0);
				issued[TOKEN(block, number)]++;
				number++
			};
			break
		:: atomic { !CRASHED && number == NUMBERS && sequence < BLOCKS ->
				/* take_block() */
				sequence++;
				taken = sequence
			};
#ifndef NO_EPOCH
			/* flush_wal(): of all that was written so far */
			atomic {
				if
				:: !CRASHED -> on_disk = sequence
				:: else
				fi
			};
#endif
			/* Two sessions at once: the greater block stays. */
			atomic {
				if
				:: !CRASHED && taken > block ->
					block = taken;
					number = 0
				:: else
				fi;
				taken = 0
			}
		:: CRASHED -> break
		:: !CRASHED && number == NUMBERS && sequence == BLOCKS -> goto used_up
		od
	od;
used_up:
	skip
}

/* XLogBackgroundFlush(), and a standby that follows, some way behind */
active proctype replication()
{
end:
	do
	:: atomic { on_disk < sequence -> on_disk = sequence }
	:: atomic { on_standby < on_disk -> on_standby++ }
	od
}

/* dispatch and tokens are forgotten; the sequence is what the disk has, or the standby. */
active proctype disaster()
{
	byte n;

end:
	do
	:: n < CRASHES ->
		atomic {
			n++;
			starts++;
			sequence = on_disk;
			block = 0;
			number = NUMBERS
		}
	:: jumps < JUMPS - 1 ->
		atomic {
			jumps++; /* promotion */
			starts++;
			on_disk = on_standby;
			sequence = on_standby;
			block = 0;
			number = NUMBERS
		}
	od
}
