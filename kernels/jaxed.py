"""JAX as this project uses it: float64 (sums of money need it) and synchronous dispatch on the CPU (an asynchronous one made p99 ten
times longer). Imported before anything of JAX is used, so that no module finds it set otherwise.

What JAX compiles is kept beside what numba compiles (`__pycache__`), unless JAX_COMPILATION_CACHE_DIR names another place.
"""

import os
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parent / "__pycache__" / "jax"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
