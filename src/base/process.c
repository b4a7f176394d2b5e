/*
 * process.c
 *		Signals, interrupts and settings of our background processes.
 */
#include "postgres.h"

#include <signal.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "base/process.h"

volatile sig_atomic_t worker_stopping = false;

/*
 * The query cancel ends a wait for a lock or for a synchronous standby, so
 * that no transaction delays a stop.  Between transactions the process checks
 * worker_stopping and ends in an orderly way.  Only the first signal cancels: the
 * postmaster signals each child and then its process group, and the second signal
 * must not cancel the last transactions of the process.
 */
static void
on_sigterm(SIGNAL_ARGS)
{
	int save_errno = errno;

	if (!worker_stopping)
		QueryCancelPending = true;
	worker_stopping = true;
	InterruptPending = true;
	SetLatch(MyLatch);
	errno = save_errno;
}

void
worker_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, on_sigterm);
	BackgroundWorkerUnblockSignals();
}

void
worker_absorb_interrupts(void)
{
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

bool
worker_reload_config(void)
{
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}
