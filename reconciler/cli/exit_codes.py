"""Exit codes, which pipelines rely on. 1 never means "changes": that is how a program dies."""

OK = 0
ERROR = 1
CHANGES = 2
"""`diff`: something differs. Terraform's ``-detailed-exitcode``."""
STALE = 3
FAILED = 4
"""`apply`, `teardown`: it did not converge; the report says why."""
LOCKED = 5
USAGE = 64  # EX_USAGE, sysexits.h
PRIVILEGE = 77  # EX_NOPERM, sysexits.h
INTERRUPTED = 130  # 128 + SIGINT
PIPE = 141  # 128 + SIGPIPE: whoever read our output has gone
