// times.js
//		How long tasks of a queue wait and run: quantiles of its histograms.

/**
 * The bound below which that share of the tasks lies that were counted between two looks: seconds, Infinity if it is above all
 * bounds, null if there was no task.  A histogram is [bound, number up to there], the bounds ascending.
 * @param {[string, any][] | null} before null: since the start of the server
 * @param {[string, any][]} now
 * @param {number} share
 */
export function quantile(before, now, share) {
	const counts = now.map(([, n], i) => Number(n) - Number(before?.[i]?.[1] ?? 0));
	const total = counts.length > 0 ? counts[counts.length - 1] : 0;
	if (total <= 0)
		return null;
	const at = counts.findIndex((n) => n >= total * share);
	return now[at][0] === '+Inf' ? Infinity : Number(now[at][0]);
}

/**
 * The looks of a page, of which the oldest is at most so long ago.
 * @param {number} [longest] milliseconds
 */
export function history(longest = 10 * 60000) {
	/** @type {{at: number, times: any}[]} */ let looks = [];
	return {
		/** @param {any} times @param {number} [at] */
		add(times, at = Date.now()) {
			looks = [...looks.filter((look) => at - look.at <= longest), { at, times }];
		},
		/** The oldest and the newest; the oldest is null if no task has ended in between. */
		ends() {
			const newest = looks[looks.length - 1] ?? null;
			const oldest = looks[0] ?? null;
			const between = newest && quantile(oldest.times.wait, newest.times.wait, 1) !== null;
			return { oldest: between ? oldest : null, newest };
		},
	};
}
