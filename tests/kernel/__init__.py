"""The whole program on a real kernel; asserts of the helpers explain themselves as tests' do."""

import pytest

pytest.register_assert_rewrite("tests.kernel.passes", "tests.kernel.worlds")
