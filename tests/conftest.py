"""What all tests share: property tests draw the same examples each time, so that CI is steady.

``HYPOTHESIS_PROFILE=explore`` draws new ones.
"""

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
