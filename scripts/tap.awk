# tap.awk
#		Counts what a test program printed; -v status= is its exit status.
#
# Reads TAP, and the lines of pg_regress before it spoke TAP.  Prints
# "PASSED FAILED SKIPPED".  A program that broke off, ran another number of
# tests than it planned, or failed without saying where, has one failure more.

/^ok / && /# *[Ss][Kk][Ii][Pp]/ { skipped++; next }
/^ok / { passed++; next }
/^not ok / && /# *[Tt][Oo][Dd][Oo]/ { passed++; next }
/^not ok / { failed++; next }
/^1\.\.[0-9]+/ { planned = 1; plan = substr($1, 4) + 0; if (/# *[Ss][Kk][Ii][Pp]/) skipped++; next }
/^(test|    ) .* \.\.\. ok / { planned = 1; passed++; plan++; next }
/^(test|    ) .* \.\.\. FAILED/ { planned = 1; failed++; plan++; next }
/^Bail out!/ { planned = 0 }

END {
	short = !planned || (plan != passed + failed + skipped && !(plan == 0 && skipped == 1))
	if (short || (status != 0 && failed == 0))
		failed++
	print passed + 0, failed + 0, skipped + 0
}
