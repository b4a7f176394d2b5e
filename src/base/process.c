/*
 * process.c
 *		Signals, interrupts and settings of our background processes.
 */
#include "postgres.h"

#include <signal.h>

#include "fmgr.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "base/process.h"

volatile sig_atomic_t worker_stopping = false;

/*
 * The query cancel ends a wait for a lock or for a synchronous standby, so
 * that no transaction holds up a stop.  The process itself sees
 * worker_stopping between transactions and leaves in good order.  Only the
 * first signal cancels: the postmaster signals each child and then its process
 * group, and the second signal must not hit the transaction that tidies up.
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
