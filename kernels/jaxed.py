"""JAX as this project uses it: float64 (sums of money need it) and synchronous dispatch on the CPU (an asynchronous one made p99 ten
times longer). Imported before anything of JAX is used, so that no module finds it set otherwise."""

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_enable_async_dispatch", False)
