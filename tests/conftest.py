"""What has to be set before the tests import anything."""

import os
import signal

# one of scikit-learn's checks for estimators needs it, and SciPy reads it when it is first imported
os.environ.setdefault("SCIPY_ARRAY_API", "1")

# A shell without job control starts commands in the background with Ctrl-C ignored, and every process started from
# here would inherit that: the tests that interrupt a training would wait for it without end.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
