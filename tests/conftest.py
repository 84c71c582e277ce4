"""What has to be set before the tests import anything."""

import os

# one of scikit-learn's checks for estimators needs it, and SciPy reads it when it is first imported
os.environ.setdefault("SCIPY_ARRAY_API", "1")
